// Weight format f16: IEEE half precision, two to a word.
//
//   weight_data  [rows, chunks]  eight weights each

@group(1) @binding(1) var<storage, read> weight_data: array<vec4u>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let words = weight_data[row * weight.chunks + chunk];
    return mat2x4f(
        vec4f(half2(words.x), half2(words.y)),
        vec4f(half2(words.z), half2(words.w)),
    );
}

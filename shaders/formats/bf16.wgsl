// Weight format bf16: the upper half of an f32, two to a word.
//
//   weight_data  [rows, chunks]  eight weights each

@group(1) @binding(1) var<storage, read> weight_data: array<vec4u>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let words = weight_data[row * weight.chunks + chunk];
    let even = bitcast<vec4f>(words << vec4u(16));
    let odd = bitcast<vec4f>(words & vec4u(0xffff0000));
    return mat2x4f(even.x, odd.x, even.y, odd.y, even.z, odd.z, even.w, odd.w);
}

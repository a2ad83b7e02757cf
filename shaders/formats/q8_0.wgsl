// Weight format q8_0: blocks of 32 signed bytes that share one f16 scale.
//
//   weight_data   [rows, chunks]          eight bytes each
//   weight_scale  [rows * chunks / 4 / 2]  two scales to a word

@group(1) @binding(1) var<storage, read> weight_data: array<vec2u>;
@group(1) @binding(2) var<storage, read> weight_scale: array<Half2>;

// The four bytes of `word`, lowest first, with their signs.
fn weight_bytes(word: u32) -> vec4f {
    return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24, 16, 8, 0)) >> vec4u(24));
}

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let words = weight_data[index];
    let block = index / 4;
    let scale = half2(weight_scale[block / 2])[block % 2];
    return scale * mat2x4f(weight_bytes(words.x), weight_bytes(words.y));
}

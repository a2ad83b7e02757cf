// Weight format q4_1: blocks of 32 numbers of 4 bits that share an f16 scale and an f16
// offset.
//
//   weight_data   [rows, chunks]              eight numbers each, the first lowest
//   weight_scale  [rows, chunks / 4]          scale and offset

@group(1) @binding(1) var<storage, read> weight_data: array<u32>;
@group(1) @binding(2) var<storage, read> weight_scale: array<Half2>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let word = weight_data[index];
    let scale = half2(weight_scale[index / 4]);
    let offset = vec4f(scale.y);
    return scale.x * mat2x4f(vec4f(bits_4(word)), vec4f(bits_4(word >> 16))) + mat2x4f(offset, offset);
}

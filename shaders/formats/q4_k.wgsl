// Weight format q4_k: blocks of 256 numbers of 4 bits. Every 32 have a scale and an offset
// that is subtracted, both of 6 bits, in steps of two f16 of the block.
//
//   weight_data   [rows, chunks]              eight numbers each, the first lowest
//   weight_scale  [rows, chunks / 8]          scale, offset, scale, offset: a byte each
//   weight_step   [rows, chunks / 32]         what scales and offsets are multiplied with

@group(1) @binding(1) var<storage, read> weight_data: array<u32>;
@group(1) @binding(2) var<storage, read> weight_scale: array<u32>;
@group(1) @binding(3) var<storage, read> weight_step: array<Half2>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let word = weight_data[index];
    let numbers = mat2x4f(vec4f(bits_4(word)), vec4f(bits_4(word >> 16)));
    // The part's own scale and offset.
    let pair = weight_scale[index / 8] >> (16 * (index / 4 % 2));
    let scale = half2(weight_step[index / 32]) * vec2f(vec2u(pair, pair >> 8) & vec2u(255));
    let offset = vec4f(scale.y);
    return scale.x * numbers - mat2x4f(offset, offset);
}

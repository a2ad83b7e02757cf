// Weight format iq4_xs: blocks of 256 numbers of 4 bits for values of a table. Every 32 have
// a signed scale, in steps of an f32 of the block.
//
//   weight_data   [rows, chunks]              eight numbers each, the first lowest
//   weight_scale  [rows, chunks / 16]         four signed bytes
//   weight_step   [rows, chunks / 32]         what scales are multiplied with

@group(1) @binding(1) var<storage, read> weight_data: array<u32>;
@group(1) @binding(2) var<storage, read> weight_scale: array<u32>;
@group(1) @binding(3) var<storage, read> weight_step: array<f32>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let word = weight_data[index];
    let scale = weight_step[index / 32] * bits_signed(weight_scale[index / 16], index / 4 % 4);
    return scale * mat2x4f(iq4_levels(bits_4(word)), iq4_levels(bits_4(word >> 16)));
}

// Weight format q6_k: blocks of 256 numbers of 6 bits, from -32 (stored as 0) to 31. Every
// 16 have a signed scale, in steps of an f32 of the block.
//
//   weight_low    [rows, chunks]              the lower four bits of eight numbers, the first lowest
//   weight_high   [rows, chunks / 2]          the upper two bits of sixteen numbers
//   weight_scale  [rows, chunks / 8]          four signed bytes
//   weight_step   [rows, chunks / 32]         what scales are multiplied with

@group(1) @binding(1) var<storage, read> weight_low: array<u32>;
@group(1) @binding(2) var<storage, read> weight_high: array<u32>;
@group(1) @binding(3) var<storage, read> weight_scale: array<u32>;
@group(1) @binding(4) var<storage, read> weight_step: array<f32>;

// The four lowest numbers whose lower bits are in `low`.
fn weight_numbers(low: u32, high: u32) -> vec4f {
    return vec4f(bits_4(low) | (bits_2(high) << vec4u(4))) - 32.0;
}

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let low = weight_low[index];
    let high = weight_high[index / 2] >> (16 * (index % 2));
    let scale = weight_step[index / 32] * bits_signed(weight_scale[index / 8], index / 2 % 4);
    return scale * mat2x4f(weight_numbers(low, high), weight_numbers(low >> 16, high >> 8));
}

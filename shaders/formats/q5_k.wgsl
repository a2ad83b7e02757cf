// Weight format q5_k: blocks of 256 numbers of 5 bits. Every 32 have a scale and an offset
// that is subtracted, both of 6 bits, in steps of two f16 of the block.
//
//   weight_low    [rows, chunks]              the lower four bits of eight numbers, the first lowest
//   weight_high   [rows, chunks / 4]          their fifth bits
//   weight_scale  [rows, chunks / 8]          scale, offset, scale, offset: a byte each
//   weight_step   [rows, chunks / 32]         what scales and offsets are multiplied with

@group(1) @binding(1) var<storage, read> weight_low: array<u32>;
@group(1) @binding(2) var<storage, read> weight_high: array<u32>;
@group(1) @binding(3) var<storage, read> weight_scale: array<u32>;
@group(1) @binding(4) var<storage, read> weight_step: array<Half2>;

// The four lowest numbers whose lower bits are in `low`.
fn weight_numbers(low: u32, high: u32) -> vec4f {
    return vec4f(bits_4(low) | (bits_1(high) << vec4u(4)));
}

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let low = weight_low[index];
    let high = weight_high[index / 4] >> (8 * (index % 4));
    let numbers = mat2x4f(weight_numbers(low, high), weight_numbers(low >> 16, high >> 4));
    // The part's own scale and offset.
    let pair = weight_scale[index / 8] >> (16 * (index / 4 % 2));
    let scale = half2(weight_step[index / 32]) * vec2f(vec2u(pair, pair >> 8) & vec2u(255));
    let offset = vec4f(scale.y);
    return scale.x * numbers - mat2x4f(offset, offset);
}

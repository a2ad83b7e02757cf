// Weight format mxfp4: FP4 E2M1 in blocks of 32 that share a power of two. OCP Microscaling
// Formats (MX) 1.0, 5.3.
//
//   weight_data   [rows, chunks]           eight numbers each, the first lowest
//   weight_scale  [rows * chunks / 4 / 4]  four exponents to a word, 127 more than they are

@group(1) @binding(1) var<storage, read> weight_data: array<u32>;
@group(1) @binding(2) var<storage, read> weight_scale: array<u32>;

// Twice what four numbers stand for.
fn weight_doubled(numbers: vec4u) -> vec4f {
    // 0 1 2 3, 4 6 8 12.
    let bytes = select(vec4u(0x03020100), vec4u(0x0c080604), (numbers & vec4u(4)) != vec4u(0));
    let magnitude = vec4i((bytes >> (8 * (numbers & vec4u(3)))) & vec4u(255));
    return vec4f(select(magnitude, -magnitude, numbers >= vec4u(8)));
}

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let word = weight_data[index];
    let exponent = (weight_scale[index / 16] >> (8 * (index / 4 % 4))) & 255;
    // Half the scale in two factors, for it can be too small for an f32 where its products are not.
    let scale = bitcast<vec2f>((vec2u(exponent / 2, exponent - exponent / 2) + 63) << vec2u(23));
    let doubled = mat2x4f(weight_doubled(bits_4(word)), weight_doubled(bits_4(word >> 16)));
    return scale.y * (scale.x * doubled);
}

// Weight format f8_e4m3: FP8 E4M3 in blocks of 128 that share one f32 scale.
//
//   weight_data   [rows, chunks]               eight bytes each
//   weight_scale  [rows, chunks / 16]

@group(1) @binding(1) var<storage, read> weight_data: array<vec2u>;
@group(1) @binding(2) var<storage, read> weight_scale: array<f32>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let words = weight_data[index];
    return weight_scale[index / 16] * mat2x4f(f8_values(words.x), f8_values(words.y));
}

// Weight format f32: the weights as they are.
//
//   weight_data  [rows, chunks]  eight weights each

@group(1) @binding(1) var<storage, read> weight_data: array<Wide>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    return wide(weight_data[row * weight.chunks + chunk]);
}

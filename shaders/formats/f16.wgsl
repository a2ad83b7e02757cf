// Weight format f16: IEEE half precision.
//
//   weight_data  [rows, chunks]  eight weights each

@group(1) @binding(1) var<storage, read> weight_data: array<Half8>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    return half8(weight_data[row * weight.chunks + chunk]);
}

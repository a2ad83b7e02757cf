// Weight format f32: the weights as they are.
//
//   weight_data  [rows, chunks, 2]  four weights each

@group(1) @binding(1) var<storage, read> weight_data: array<vec4f>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = 2 * (row * weight.chunks + chunk);
    return mat2x4f(weight_data[index], weight_data[index + 1]);
}

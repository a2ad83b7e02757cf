// y = x with zeros behind each row, up to a width that a weight's blocks divide.
//
//   x  [rows, width]
//   y  [rows, padded]
//
// One lane per value of y.

struct Params {
    width: u32,
    padded: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = workgroup.x * WORKGROUP_SIZE + lane;
    if column >= params.padded {
        return;
    }
    let x_start = workgroup.y * params.width;
    y[workgroup.y * params.padded + column] = select(0.0, x[x_start + min(column, params.width - 1)], column < params.width);
}

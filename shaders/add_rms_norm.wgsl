// sum = x + update and y = sum / rms(sum) * gain, row by row: the residual stream and the next layer's input.
//
//   x, update  [rows, width]
//   gain       [width]
//   sum, y     [rows, width]
//
// One workgroup per row.

struct Params {
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> update: array<f32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<storage, read_write> sum: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 256;
override LANES: u32 = WORKGROUP_SIZE;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x * params.width;

    var sum_of_squares = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        let value = x[row + i] + update[row + i];
        sum[row + i] = value;
        sum_of_squares += value * value;
    }
    let mean_square = lanes_sum(sum_of_squares, lane) / f32(params.width);
    let scale = inverseSqrt(mean_square + params.epsilon);

    // Each lane reads only what it wrote itself.
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        y[row + i] = sum[row + i] * scale * gain[i];
    }
}

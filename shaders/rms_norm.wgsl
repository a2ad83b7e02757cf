// y = x / rms(x) * gain, row by row, for a range of the columns of x (RMSNorm, arXiv 1910.07467).
//
//   x     [rows, stride]
//   gain  [width]
//   y     [rows, width]
//
// One workgroup per row. The range starts at column `offset`.

struct Params {
    stride: u32,
    offset: u32,
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 256;
override LANES: u32 = WORKGROUP_SIZE;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let x_start = workgroup.x * params.stride + params.offset;
    let y_start = workgroup.x * params.width;

    var sum_of_squares = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        sum_of_squares += x[x_start + i] * x[x_start + i];
    }
    let mean_square = lanes_sum(sum_of_squares, lane) / f32(params.width);
    let scale = inverseSqrt(mean_square + params.epsilon);

    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        y[y_start + i] = x[x_start + i] * scale * gain[i];
    }
}

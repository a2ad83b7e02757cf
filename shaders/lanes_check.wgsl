// y = the sums of x, then of its squares, over groups of lanes: lanes_sum as other kernels call it, for the self-test.
//
//   x  [rows, lanes]
//   y  [rows, 2, lanes]
//
// One workgroup per row and one lane per value. A row has as many values as a workgroup
// lanes, and LANES neighbouring ones are a group. The second sum follows the first at
// once, as in every kernel that sums more than one value.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let value = x[workgroup.x * WORKGROUP_SIZE + lane];
    let sum = lanes_sum(value, lane);
    let squares = lanes_sum(value * value, lane);
    let start = 2 * workgroup.x * WORKGROUP_SIZE + lane;
    y[start] = sum;
    y[start + WORKGROUP_SIZE] = squares;
}

// y = x, for measuring how fast memory is read and written.
//
//   x  [count, 8]
//   y  [count, 8]
//
// One lane per eight values.

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read_write> y: array<Wide>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if i < params.count {
        y[i] = x[i];
    }
}

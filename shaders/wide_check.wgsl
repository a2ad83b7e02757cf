// y = x by way of wide, as other kernels load eight values, for the self-test.
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
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.x * WORKGROUP_SIZE + lane;
    if index >= params.count {
        return;
    }
    let values = wide(x[index]);
    y[2 * index] = values[0];
    y[2 * index + 1] = values[1];
}

// y = f16 values as f32, by half8 and by half2 as weight formats call them, for the self-test.
//
//   eights  [count, 8]
//   pairs   [4 * count, 2]
//   y       [count, 2, 8]
//
// One lane per eight values of each kind.

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> eights: array<Half8>;
@group(0) @binding(2) var<storage, read> pairs: array<Half2>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

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
    let values = half8(eights[index]);
    let first = 4 * index;
    y[first] = values[0];
    y[first + 1] = values[1];
    y[first + 2] = vec4f(half2(pairs[first]), half2(pairs[first + 1]));
    y[first + 3] = vec4f(half2(pairs[first + 2]), half2(pairs[first + 3]));
}

// ids[rows] = chosen, where the id is not known yet.
//
//   rows    [count]
//   chosen  [count]
//   ids     [tokens]
//
// One lane per row. An id that is not known is 0xffffffff.

struct Params {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup.x * WORKGROUP_SIZE + lane;
    if i < params.count && ids[rows[i]] == 0xffffffff {
        ids[rows[i]] = chosen[i];
    }
}

// y = the index of the largest score of each row, the lower one among equals; u32 max if a score is not finite.
//
//   scores  [rows, width]
//   y       [rows]
//
// One workgroup per row.

struct Params {
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

override WORKGROUP_SIZE: u32 = 256;

const NOT_FINITE = 0xffffffffu;
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let best = best_of(workgroup.x * params.width, params.width, lane);
    if lane == 0 {
        y[workgroup.x] = select(best.token, NOT_FINITE, best.count > 0);
    }
}

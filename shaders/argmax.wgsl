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
const EXPONENT = 0x7f800000u;

var<workgroup> lane_best: array<f32, WORKGROUP_SIZE>;
var<workgroup> lane_index: array<u32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x * params.width;
    // The least f32: whatever is not above it ties with it.
    var best = -0x1.fffffep127;
    var index = min(lane, params.width - 1);
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        let bits = scores[row + i];
        // Tested as bits: a shader may assume that floats are finite.
        if (bits & EXPONENT) == EXPONENT {
            index = NOT_FINITE;
            break;
        }
        let score = bitcast<f32>(bits);
        if score > best {
            best = score;
            index = i;
        }
    }
    lane_best[lane] = best;
    lane_index[lane] = index;
    workgroupBarrier();

    if lane == 0 {
        for (var i = 1u; i < WORKGROUP_SIZE; i++) {
            let better = lane_best[i] > best || (lane_best[i] == best && lane_index[i] < index);
            if lane_index[i] == NOT_FINITE {
                index = NOT_FINITE;
            }
            if better && index != NOT_FINITE {
                best = lane_best[i];
                index = lane_index[i];
            }
        }
        y[workgroup.x] = index;
    }
}

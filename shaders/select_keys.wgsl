// chosen = the slots of the `most` keys with the largest scores, in order of position; among equals the lower position.
//
//   scores     [rows, blocks_per_sequence * BLOCK]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   chosen     [tokens, most]
//   last       [tokens]
//   own        [tokens]
//
// One workgroup per row of scores; row 0 is token `first`. A token that sees no more than
// `most` keys gets all of them, the last one over and over, and its scores are not read.
// `last` is how many it gets less one, and `own` the token's number, so that attention can
// take chosen keys for those of a sequence in blocks of one slot. The least score that is
// chosen is selected first; then a lane lists the keys of a part of the context.

struct Params {
    blocks_per_sequence: u32,
    first: u32,
    most: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<u32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> sequences: array<u32>;
@group(0) @binding(4) var<storage, read> blocks: array<u32>;
@group(0) @binding(5) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(6) var<storage, read_write> last: array<u32>;
@group(0) @binding(7) var<storage, read_write> own: array<u32>;

override WORKGROUP_SIZE: u32 = 256;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

// Keys above the least score in each lane's part, and keys equal to it; then those of the lanes before.
var<workgroup> above: array<u32, WORKGROUP_SIZE>;
var<workgroup> equal: array<u32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = params.first + workgroup.x;
    let context = positions[token] + 1;
    let sequence = sequences[token];
    let list = token * params.most;
    if lane == 0 {
        last[token] = min(context, params.most) - 1;
        own[token] = token;
    }
    if context <= params.most {
        for (var i = lane; i < params.most; i += WORKGROUP_SIZE) {
            chosen[list + i] = slots_of(sequence, vec4u(min(i, context - 1))).x;
        }
        return;
    }

    let row = workgroup.x * params.blocks_per_sequence * BLOCK;
    radix_select(row, context, params.most, lane);
    let least = radix_least;
    let left = radix_left;

    let part = (context + WORKGROUP_SIZE - 1) / WORKGROUP_SIZE;
    let begin = min(lane * part, context);
    let end = min(begin + part, context);
    above[lane] = 0;
    equal[lane] = 0;
    for (var key = begin; key < end; key++) {
        let order = radix_order(scores[row + key]);
        above[lane] += u32(order > least);
        equal[lane] += u32(order == least);
    }
    workgroupBarrier();
    var place = 0u;
    var equals = 0u;
    for (var i = 0u; i < lane; i++) {
        place += above[i];
        equals += equal[i];
    }
    place += min(equals, left);
    for (var key = begin; key < end; key++) {
        let order = radix_order(scores[row + key]);
        if order > least || (order == least && equals < left) {
            chosen[list + place] = slots_of(sequence, vec4u(key)).x;
            place += 1u;
        }
        equals += u32(order == least);
    }
}

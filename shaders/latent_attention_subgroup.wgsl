// z = softmax(scale * q * transpose(cache)) * cache[..latent], per head: latent_attention for short rows, without
// workgroup memory.
//
//   q          [tokens, heads, width]
//   cache      [slots, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   z          [tokens, splits, heads, latent]
//   stats      [tokens, splits, heads, 2]
//
// One subgroup of 8 lanes per token, four heads and part of the context (a split). Every
// row is loaded once, for scores and values and all four heads: a lane takes one of its
// first 8 chunks of 8 columns, and the 4 chunks of the tail of two rows share a load.
// After eight keys the lanes exchange their parts of the scores, so that each has those
// of one key. `stats` are the largest score and the sum of the exponentials, for
// merge_splits. `width` (at most 12) and `latent` (at most 8) are counted in chunks.

struct Params {
    heads: u32,
    width: u32,
    latent: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Wide>;
@group(0) @binding(2) var<storage, read> cache: array<Wide>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> z: array<mat2x4f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

override WORKGROUP_SIZE: u32 = 8;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;
const NOTHING: f32 = -1e30;

// A chunk of four heads' queries; beyond their end zeros, which cancel whatever they meet.
fn queries(token: u32, first_head: u32, chunk: u32) -> Heads {
    let heads = min(first_head + vec4u(0, 1, 2, 3), vec4u(params.heads - 1));
    let at = (token * params.heads + heads) * params.width + min(chunk, params.width - 1);
    let a = wide(q[at.x]);
    let b = wide(q[at.y]);
    let c = wide(q[at.z]);
    let d = wide(q[at.w]);
    let chunks = Heads(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
    return heads_scaled(chunks, vec4f(f32(chunk < params.width)));
}

// Where a key's row starts in the cache, in chunks.
fn row_start(sequence: u32, key: u32) -> u32 {
    let block = blocks[sequence * params.blocks_per_sequence + key / BLOCK];
    return (block * BLOCK + key % BLOCK) * params.width;
}

// A step of a transposing sum: lanes without the bit `distance` go on with `low`, others with `high`.
fn exchange(low: vec4f, high: vec4f, lane: u32, distance: u32) -> vec4f {
    let is_high = (lane & distance) != 0;
    return select(low, high, is_high) + subgroupShuffleXor(select(high, low, is_high), distance);
}

fn largest_of_lanes(scores: vec4f) -> vec4f {
    let two = max(scores, subgroupShuffleXor(scores, 1u));
    let four = max(two, subgroupShuffleXor(two, 2u));
    return max(four, subgroupShuffleXor(four, 4u));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let first_head = 4 * workgroup.x;
    let context = positions[token] + 1;
    let splits = splits_of(context);
    if split >= splits {
        return;
    }
    let begin = split_begin(split, context, splits);
    let end = split_begin(split + 1, context, splits);

    let sequence = sequences[token];
    let chunk = min(lane, params.width - 1);
    let tail_chunk = min(8 + lane % 4, params.width - 1);
    let q_chunk = queries(token, first_head, lane);
    let q_tail = queries(token, first_head, 8 + lane % 4);
    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = Heads();
    for (var start = begin; start < end; start += 8) {
        let key = start + lane;
        let row = row_start(sequence, min(key, end - 1));
        let row_0 = wide(cache[subgroupShuffle(row, 0u) + chunk]);
        let row_1 = wide(cache[subgroupShuffle(row, 1u) + chunk]);
        let row_2 = wide(cache[subgroupShuffle(row, 2u) + chunk]);
        let row_3 = wide(cache[subgroupShuffle(row, 3u) + chunk]);
        let row_4 = wide(cache[subgroupShuffle(row, 4u) + chunk]);
        let row_5 = wide(cache[subgroupShuffle(row, 5u) + chunk]);
        let row_6 = wide(cache[subgroupShuffle(row, 6u) + chunk]);
        let row_7 = wide(cache[subgroupShuffle(row, 7u) + chunk]);
        let sum_0 = exchange(heads_dot(q_chunk, row_0), heads_dot(q_chunk, row_4), lane, 4u)
            + heads_dot(q_tail, wide(cache[subgroupShuffle(row, lane / 4 * 4 + 0u) + tail_chunk]));
        let sum_1 = exchange(heads_dot(q_chunk, row_1), heads_dot(q_chunk, row_5), lane, 4u)
            + heads_dot(q_tail, wide(cache[subgroupShuffle(row, lane / 4 * 4 + 1u) + tail_chunk]));
        let sum_2 = exchange(heads_dot(q_chunk, row_2), heads_dot(q_chunk, row_6), lane, 4u)
            + heads_dot(q_tail, wide(cache[subgroupShuffle(row, lane / 4 * 4 + 2u) + tail_chunk]));
        let sum_3 = exchange(heads_dot(q_chunk, row_3), heads_dot(q_chunk, row_7), lane, 4u)
            + heads_dot(q_tail, wide(cache[subgroupShuffle(row, lane / 4 * 4 + 3u) + tail_chunk]));
        let even = exchange(sum_0, sum_2, lane, 2u);
        let odd = exchange(sum_1, sum_3, lane, 2u);
        let scores = select(vec4f(NOTHING), params.scale * exchange(even, odd, lane, 1u), key < end);

        let new_largest = max(largest, largest_of_lanes(scores));
        let weights = exp(scores - new_largest);
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        total = total * shrink + weights;
        sums = heads_scaled(sums, shrink);
        sums = heads_plus(sums, subgroupShuffle(weights, 0u), row_0);
        sums = heads_plus(sums, subgroupShuffle(weights, 1u), row_1);
        sums = heads_plus(sums, subgroupShuffle(weights, 2u), row_2);
        sums = heads_plus(sums, subgroupShuffle(weights, 3u), row_3);
        sums = heads_plus(sums, subgroupShuffle(weights, 4u), row_4);
        sums = heads_plus(sums, subgroupShuffle(weights, 5u), row_5);
        sums = heads_plus(sums, subgroupShuffle(weights, 6u), row_6);
        sums = heads_plus(sums, subgroupShuffle(weights, 7u), row_7);
    }

    let denominators = subgroupAdd(total);
    let y = heads_scaled(sums, 1 / denominators);
    let first = (token * params.splits + split) * params.heads + first_head;
    let heads = min(params.heads - first_head, 4);
    for (var i = 0u; i < heads && lane < params.latent; i++) {
        z[(first + i) * params.latent + lane] = mat2x4f(y.low[i], y.high[i]);
    }
    if lane < heads {
        stats[first + lane] = vec2f(largest[lane], denominators[lane]);
    }
}

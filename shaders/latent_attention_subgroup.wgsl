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

// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

const NOTHING: f32 = -1e30;

// A chunk for each of four heads.
struct Heads { a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f }

// A chunk of a query; beyond its end zeros, which cancel whatever chunk of a key they meet.
fn query(token: u32, head: u32, chunk: u32) -> mat2x4f {
    let start = (token * params.heads + min(head, params.heads - 1)) * params.width;
    return f32(chunk < params.width) * wide(q[start + min(chunk, params.width - 1)]);
}

fn queries(token: u32, head: u32, chunk: u32) -> Heads {
    return Heads(
        query(token, head, chunk),
        query(token, head + 1, chunk),
        query(token, head + 2, chunk),
        query(token, head + 3, chunk),
    );
}

// Where a key's row starts in the cache, in chunks.
fn row_start(sequence: u32, key: u32) -> u32 {
    let block = blocks[sequence * params.blocks_per_sequence + key / BLOCK];
    return (block * BLOCK + key % BLOCK) * params.width;
}

fn dots(heads: Heads, chunk: mat2x4f) -> vec4f {
    return vec4f(
        dot(heads.a[0], chunk[0]) + dot(heads.a[1], chunk[1]),
        dot(heads.b[0], chunk[0]) + dot(heads.b[1], chunk[1]),
        dot(heads.c[0], chunk[0]) + dot(heads.c[1], chunk[1]),
        dot(heads.d[0], chunk[0]) + dot(heads.d[1], chunk[1]),
    );
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

fn scaled(sums: Heads, by: vec4f) -> Heads {
    return Heads(by.x * sums.a, by.y * sums.b, by.z * sums.c, by.w * sums.d);
}

fn plus(sums: Heads, weights: vec4f, value: mat2x4f) -> Heads {
    return Heads(
        sums.a + weights.x * value,
        sums.b + weights.y * value,
        sums.c + weights.z * value,
        sums.d + weights.w * value,
    );
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let head = 4 * workgroup.x;
    let context = positions[token] + 1;
    let used_splits = clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);
    if split >= used_splits {
        return;
    }
    let share = (context + used_splits - 1) / used_splits;
    let begin = min(split * share, context);
    let end = min(begin + share, context);
    let sequence = sequences[token];

    let q_first = queries(token, head, lane);
    let q_tail = queries(token, head, 8 + lane % 4);
    let first_chunk = min(lane, params.width - 1);
    let tail_chunk = min(8 + lane % 4, params.width - 1);
    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = Heads();
    for (var start = begin; start < end; start += 8) {
        let key = start + lane;
        let row = row_start(sequence, min(key, end - 1));
        let row_0 = wide(cache[subgroupShuffle(row, 0u) + first_chunk]);
        let row_1 = wide(cache[subgroupShuffle(row, 1u) + first_chunk]);
        let row_2 = wide(cache[subgroupShuffle(row, 2u) + first_chunk]);
        let row_3 = wide(cache[subgroupShuffle(row, 3u) + first_chunk]);
        let row_4 = wide(cache[subgroupShuffle(row, 4u) + first_chunk]);
        let row_5 = wide(cache[subgroupShuffle(row, 5u) + first_chunk]);
        let row_6 = wide(cache[subgroupShuffle(row, 6u) + first_chunk]);
        let row_7 = wide(cache[subgroupShuffle(row, 7u) + first_chunk]);
        let tail_0 = wide(cache[subgroupShuffle(row, lane / 4 * 4 + 0u) + tail_chunk]);
        let tail_1 = wide(cache[subgroupShuffle(row, lane / 4 * 4 + 1u) + tail_chunk]);
        let tail_2 = wide(cache[subgroupShuffle(row, lane / 4 * 4 + 2u) + tail_chunk]);
        let tail_3 = wide(cache[subgroupShuffle(row, lane / 4 * 4 + 3u) + tail_chunk]);
        let sum_0 = exchange(dots(q_first, row_0), dots(q_first, row_4), lane, 4u) + dots(q_tail, tail_0);
        let sum_1 = exchange(dots(q_first, row_1), dots(q_first, row_5), lane, 4u) + dots(q_tail, tail_1);
        let sum_2 = exchange(dots(q_first, row_2), dots(q_first, row_6), lane, 4u) + dots(q_tail, tail_2);
        let sum_3 = exchange(dots(q_first, row_3), dots(q_first, row_7), lane, 4u) + dots(q_tail, tail_3);
        let even = exchange(sum_0, sum_2, lane, 2u);
        let odd = exchange(sum_1, sum_3, lane, 2u);
        let scores = select(vec4f(NOTHING), params.scale * exchange(even, odd, lane, 1u), key < end);

        let new_largest = max(largest, largest_of_lanes(scores));
        let weights = exp(scores - new_largest);
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        total = total * shrink + weights;
        sums = scaled(sums, shrink);
        sums = plus(sums, subgroupShuffle(weights, 0u), row_0);
        sums = plus(sums, subgroupShuffle(weights, 1u), row_1);
        sums = plus(sums, subgroupShuffle(weights, 2u), row_2);
        sums = plus(sums, subgroupShuffle(weights, 3u), row_3);
        sums = plus(sums, subgroupShuffle(weights, 4u), row_4);
        sums = plus(sums, subgroupShuffle(weights, 5u), row_5);
        sums = plus(sums, subgroupShuffle(weights, 6u), row_6);
        sums = plus(sums, subgroupShuffle(weights, 7u), row_7);
    }

    let denominators = subgroupAdd(total);
    let y = scaled(sums, 1 / denominators);
    let first = (token * params.splits + split) * params.heads + head;
    let left = params.heads - head;
    if lane < params.latent {
        let at = first * params.latent + lane;
        z[at] = y.a;
        if left > 1 { z[at + params.latent] = y.b; }
        if left > 2 { z[at + 2 * params.latent] = y.c; }
        if left > 3 { z[at + 3 * params.latent] = y.d; }
    }
    if lane < min(left, 4) {
        stats[first + lane] = vec2f(largest[lane], denominators[lane]);
    }
}

// z = softmax(scale * q * transpose(cache)) * cache[..latent], per head: latent_attention without workgroup memory, for
// rows of at most 16 chunks of 8 columns, and subgroups of 8 lanes.
//
//   q          [tokens, heads, width]
//   cache      [slots, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   z          [tokens, splits, heads, latent]
//   stats      [tokens, splits, heads, 2]
//
// One subgroup per token, four heads and part of the context (a split). A lane owns two
// chunks of every row, the first of which may be values: rows are loaded once, for scores
// and values and all four heads. Eight keys at a time, lanes exchange their parts of the
// scores until each has those of one key. `stats` are the largest score and the sum of
// the exponentials, for merge_splits. `width` and `latent` are multiples of 8 and counted
// in chunks; the latent has at most 8.

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

const NOTHING: f32 = -1e30;

// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

// A lane's two chunks of a row.
struct Row {
    first: mat2x4f,
    second: mat2x4f,
}

// A value per head.
struct Queries { of_0: Row, of_1: Row, of_2: Row, of_3: Row }
struct Sums { of_0: mat2x4f, of_1: mat2x4f, of_2: mat2x4f, of_3: mat2x4f }

fn query(token: u32, head: u32, lane: u32) -> Row {
    let start = (token * params.heads + min(head, params.heads - 1)) * params.width + lane;
    var row: Row;
    if lane < params.width { row.first = wide(q[start]); }
    if lane + 8 < params.width { row.second = wide(q[start + 8]); }
    return row;
}

// Chunks beyond the row's end meet queries of zero.
fn cache_row(start: u32, lane: u32) -> Row {
    var row: Row;
    row.first = wide(cache[start + min(lane, params.width - 1)]);
    if lane + 8 < params.width { row.second = wide(cache[start + lane + 8]); }
    return row;
}

// Where a key's row starts in the cache, in chunks.
fn row_start(sequence: u32, key: u32) -> u32 {
    let block = blocks[sequence * params.blocks_per_sequence + key / BLOCK];
    return (block * BLOCK + key % BLOCK) * params.width;
}

fn row_dot(a: Row, b: Row) -> f32 {
    let first = dot(a.first[0], b.first[0]) + dot(a.first[1], b.first[1]);
    return first + dot(a.second[0], b.second[0]) + dot(a.second[1], b.second[1]);
}

// The lane's part of a key's scores.
fn dots(queries: Queries, key: Row) -> vec4f {
    return vec4f(
        row_dot(queries.of_0, key),
        row_dot(queries.of_1, key),
        row_dot(queries.of_2, key),
        row_dot(queries.of_3, key),
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

fn scaled(z: Sums, by: vec4f) -> Sums {
    return Sums(by.x * z.of_0, by.y * z.of_1, by.z * z.of_2, by.w * z.of_3);
}

fn plus(z: Sums, weights: vec4f, value: mat2x4f) -> Sums {
    return Sums(
        z.of_0 + weights.x * value,
        z.of_1 + weights.y * value,
        z.of_2 + weights.z * value,
        z.of_3 + weights.w * value,
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

    let queries = Queries(
        query(token, head, lane),
        query(token, head + 1, lane),
        query(token, head + 2, lane),
        query(token, head + 3, lane),
    );
    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = Sums();
    for (var start = begin; start < end; start += 8) {
        let key = start + lane;
        let row = row_start(sequence, min(key, end - 1));
        let row_0 = cache_row(subgroupShuffle(row, 0u), lane);
        let row_1 = cache_row(subgroupShuffle(row, 1u), lane);
        let row_2 = cache_row(subgroupShuffle(row, 2u), lane);
        let row_3 = cache_row(subgroupShuffle(row, 3u), lane);
        let row_4 = cache_row(subgroupShuffle(row, 4u), lane);
        let row_5 = cache_row(subgroupShuffle(row, 5u), lane);
        let row_6 = cache_row(subgroupShuffle(row, 6u), lane);
        let row_7 = cache_row(subgroupShuffle(row, 7u), lane);
        let sum_0 = exchange(dots(queries, row_0), dots(queries, row_4), lane, 4u);
        let sum_1 = exchange(dots(queries, row_1), dots(queries, row_5), lane, 4u);
        let sum_2 = exchange(dots(queries, row_2), dots(queries, row_6), lane, 4u);
        let sum_3 = exchange(dots(queries, row_3), dots(queries, row_7), lane, 4u);
        let even = exchange(sum_0, sum_2, lane, 2u);
        let odd = exchange(sum_1, sum_3, lane, 2u);
        let scores = select(vec4f(NOTHING), params.scale * exchange(even, odd, lane, 1u), key < end);

        let new_largest = max(largest, largest_of_lanes(scores));
        let weights = exp(scores - new_largest);
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        total = total * shrink + weights;
        sums = scaled(sums, shrink);
        sums = plus(sums, subgroupShuffle(weights, 0u), row_0.first);
        sums = plus(sums, subgroupShuffle(weights, 1u), row_1.first);
        sums = plus(sums, subgroupShuffle(weights, 2u), row_2.first);
        sums = plus(sums, subgroupShuffle(weights, 3u), row_3.first);
        sums = plus(sums, subgroupShuffle(weights, 4u), row_4.first);
        sums = plus(sums, subgroupShuffle(weights, 5u), row_5.first);
        sums = plus(sums, subgroupShuffle(weights, 6u), row_6.first);
        sums = plus(sums, subgroupShuffle(weights, 7u), row_7.first);
    }

    let denominators = subgroupAdd(total);
    let y = scaled(sums, 1 / denominators);
    let first = (token * params.splits + split) * params.heads + head;
    let left = params.heads - head;
    if lane < params.latent {
        let at = first * params.latent + lane;
        z[at] = y.of_0;
        if left > 1 { z[at + params.latent] = y.of_1; }
        if left > 2 { z[at + 2 * params.latent] = y.of_2; }
        if left > 3 { z[at + 3 * params.latent] = y.of_3; }
    }
    if lane < min(left, 4) {
        stats[first + lane] = vec2f(largest[lane], denominators[lane]);
    }
}

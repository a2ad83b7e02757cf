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
    block: u32,
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

// A lane's two chunks of a row.
struct Row {
    first: mat2x4f,
    second: mat2x4f,
}

fn q_row(head: u32, token: u32, lane: u32) -> Row {
    let start = (token * params.heads + min(head, params.heads - 1)) * params.width + lane;
    var row: Row;
    if lane < params.width {
        row.first = wide(q[start]);
    }
    if lane + 8 < params.width {
        row.second = wide(q[start + 8]);
    }
    return row;
}

// Chunks beyond the row's end repeat others: the queries are zero there.
fn cache_row(start: u32, lane: u32) -> Row {
    var row: Row;
    row.first = wide(cache[start + min(lane, params.width - 1)]);
    if lane + 8 < params.width {
        row.second = wide(cache[start + lane + 8]);
    }
    return row;
}

fn row_dot(a: Row, b: Row) -> f32 {
    return dot(a.first[0], b.first[0]) + dot(a.first[1], b.first[1])
        + dot(a.second[0], b.second[0]) + dot(a.second[1], b.second[1]);
}

// The first slot of a key, counted in chunks.
fn key_row(sequence: u32, key: u32) -> u32 {
    let block = blocks[sequence * params.blocks_per_sequence + key / params.block];
    return (block * params.block + key % params.block) * params.width;
}

// A step of the transposing sum: lanes whose bit `distance` is clear keep `low`, others `high`.
fn exchange(low: vec4f, high: vec4f, lane: u32, distance: u32) -> vec4f {
    let keeps_high = (lane & distance) != 0;
    return select(low, high, keeps_high) + subgroupShuffleXor(select(high, low, keeps_high), distance);
}

fn largest_of_lanes(value: vec4f) -> vec4f {
    let a = max(value, subgroupShuffleXor(value, 4u));
    let b = max(a, subgroupShuffleXor(a, 2u));
    return max(b, subgroupShuffleXor(b, 1u));
}

fn sum_of_lanes(value: vec4f) -> vec4f {
    let a = value + subgroupShuffleXor(value, 4u);
    let b = a + subgroupShuffleXor(a, 2u);
    return b + subgroupShuffleXor(b, 1u);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let first_head = 4 * workgroup.x;
    let context = positions[token] + 1;
    let used_splits = clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);
    if split >= used_splits {
        return;
    }
    let share = (context + used_splits - 1) / used_splits;
    let begin = min(split * share, context);
    let end = min(begin + share, context);
    let sequence = sequences[token];

    let q0 = q_row(first_head, token, lane);
    let q1 = q_row(first_head + 1, token, lane);
    let q2 = q_row(first_head + 2, token, lane);
    let q3 = q_row(first_head + 3, token, lane);
    var largest = vec4f(NOTHING);
    var total = vec4f();
    var z0 = mat2x4f();
    var z1 = mat2x4f();
    var z2 = mat2x4f();
    var z3 = mat2x4f();
    for (var start = begin; start < end; start += 8) {
        let key = start + lane;
        let row = key_row(sequence, min(key, end - 1));
        let k0 = cache_row(subgroupBroadcast(row, 0u), lane);
        let k1 = cache_row(subgroupBroadcast(row, 1u), lane);
        let k2 = cache_row(subgroupBroadcast(row, 2u), lane);
        let k3 = cache_row(subgroupBroadcast(row, 3u), lane);
        let k4 = cache_row(subgroupBroadcast(row, 4u), lane);
        let k5 = cache_row(subgroupBroadcast(row, 5u), lane);
        let k6 = cache_row(subgroupBroadcast(row, 6u), lane);
        let k7 = cache_row(subgroupBroadcast(row, 7u), lane);
        let s0 = vec4f(row_dot(q0, k0), row_dot(q1, k0), row_dot(q2, k0), row_dot(q3, k0));
        let s1 = vec4f(row_dot(q0, k1), row_dot(q1, k1), row_dot(q2, k1), row_dot(q3, k1));
        let s2 = vec4f(row_dot(q0, k2), row_dot(q1, k2), row_dot(q2, k2), row_dot(q3, k2));
        let s3 = vec4f(row_dot(q0, k3), row_dot(q1, k3), row_dot(q2, k3), row_dot(q3, k3));
        let s4 = vec4f(row_dot(q0, k4), row_dot(q1, k4), row_dot(q2, k4), row_dot(q3, k4));
        let s5 = vec4f(row_dot(q0, k5), row_dot(q1, k5), row_dot(q2, k5), row_dot(q3, k5));
        let s6 = vec4f(row_dot(q0, k6), row_dot(q1, k6), row_dot(q2, k6), row_dot(q3, k6));
        let s7 = vec4f(row_dot(q0, k7), row_dot(q1, k7), row_dot(q2, k7), row_dot(q3, k7));
        let a0 = exchange(s0, s4, lane, 4u);
        let a1 = exchange(s1, s5, lane, 4u);
        let a2 = exchange(s2, s6, lane, 4u);
        let a3 = exchange(s3, s7, lane, 4u);
        let b0 = exchange(a0, a2, lane, 2u);
        let b1 = exchange(a1, a3, lane, 2u);
        let scores = select(vec4f(NOTHING), params.scale * exchange(b0, b1, lane, 1u), key < end);
        let new_largest = max(largest, largest_of_lanes(scores));
        let weights = exp(scores - new_largest);
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        total = total * shrink + weights;
        let w0 = subgroupBroadcast(weights, 0u);
        let w1 = subgroupBroadcast(weights, 1u);
        let w2 = subgroupBroadcast(weights, 2u);
        let w3 = subgroupBroadcast(weights, 3u);
        let w4 = subgroupBroadcast(weights, 4u);
        let w5 = subgroupBroadcast(weights, 5u);
        let w6 = subgroupBroadcast(weights, 6u);
        let w7 = subgroupBroadcast(weights, 7u);
        z0 = shrink.x * z0 + (w0.x * k0.first + w1.x * k1.first + w2.x * k2.first + w3.x * k3.first + w4.x * k4.first + w5.x * k5.first + w6.x * k6.first + w7.x * k7.first);
        z1 = shrink.y * z1 + (w0.y * k0.first + w1.y * k1.first + w2.y * k2.first + w3.y * k3.first + w4.y * k4.first + w5.y * k5.first + w6.y * k6.first + w7.y * k7.first);
        z2 = shrink.z * z2 + (w0.z * k0.first + w1.z * k1.first + w2.z * k2.first + w3.z * k3.first + w4.z * k4.first + w5.z * k5.first + w6.z * k6.first + w7.z * k7.first);
        z3 = shrink.w * z3 + (w0.w * k0.first + w1.w * k1.first + w2.w * k2.first + w3.w * k3.first + w4.w * k4.first + w5.w * k5.first + w6.w * k6.first + w7.w * k7.first);
    }

    let sum = sum_of_lanes(total);
    let at = (token * params.splits + split) * params.heads + first_head;
    let left = params.heads - first_head;
    if lane < params.latent {
        let z_start = at * params.latent + lane;
        z[z_start] = z0 * (1 / sum.x);
        if left > 1 { z[z_start + params.latent] = z1 * (1 / sum.y); }
        if left > 2 { z[z_start + 2 * params.latent] = z2 * (1 / sum.z); }
        if left > 3 { z[z_start + 3 * params.latent] = z3 * (1 / sum.w); }
    }
    if lane < min(left, 4) {
        stats[at + lane] = vec2f(largest[lane], sum[lane]);
    }
}

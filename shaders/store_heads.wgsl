// q, k, v = x + bias; q and k normalised head by head and rotated; k, v to the cache (GQA, arXiv 2305.13245).
//
//   x               [tokens, heads + 2 * kv_heads, head_dim]
//   bias            [heads + 2 * kv_heads, head_dim]
//   q_gain, k_gain  [head_dim]
//   rotations       [tokens, pairs, 2]
//   slots           [tokens]
//   q               [tokens, heads, width]
//   cache           [slots, words]
//
// A head of q and of the cache has `width` columns, zeros behind head_dim. One workgroup
// per token and GROUP heads, of q or of the cache, where they are whole blocks of 32 columns;
// heads of q start on a group, too. `bias` is read if BIAS is not 0, the gains if
// NORM is not 0 (RMSNorm, arXiv 1910.07467). Pairs start at column `offset` of each
// head; they are neighbours (interleaved) or `pairs` columns apart (half-split).

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    width: u32,
    offset: u32,
    pairs: u32,
    half_split: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> q_gain: array<f32>;
@group(0) @binding(4) var<storage, read> k_gain: array<f32>;
@group(0) @binding(5) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(6) var<storage, read> slots: array<u32>;
@group(0) @binding(7) var<storage, read_write> q: array<f32>;
@group(0) @binding(8) var<storage, read_write> cache: array<CacheWord>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = WORKGROUP_SIZE;
override BIAS: u32 = 1;
override NORM: u32 = 1;
// 32 / width, where that is more than 1.
const MOST_GROUP: u32 = 4;
override GROUP: u32 = 1;

// A column of a head, with its bias.
fn biased(token: u32, head: u32, column: u32) -> f32 {
    let row = params.heads + 2 * params.kv_heads;
    var value = x[(token * row + head) * params.head_dim + column];
    if BIAS != 0 {
        value += bias[head * params.head_dim + column];
    }
    return value;
}

// The same of a query or key, normalised.
fn normalised(token: u32, head: u32, column: u32, scale: f32) -> f32 {
    var value = biased(token, head, column);
    if NORM != 0 {
        if head < params.heads {
            value *= scale * q_gain[column];
        } else {
            value *= scale * k_gain[column];
        }
    }
    return value;
}

// The same, rotated.
fn rotated(token: u32, head: u32, column: u32, scale: f32) -> f32 {
    let value = normalised(token, head, column, scale);
    let turning = column - params.offset;
    if column < params.offset || turning >= 2 * params.pairs {
        return value;
    }
    let half_split = params.half_split != 0;
    let pair = select(turning / 2, turning % params.pairs, half_split);
    let is_second = select(turning % 2 == 1, turning >= params.pairs, half_split);
    let distance = select(1u, params.pairs, half_split);
    let partner = select(column + distance, column - distance, is_second);
    let other = normalised(token, head, partner, scale);
    let rotation = rotations[token * params.pairs + pair];
    return value * rotation.x + other * select(-rotation.y, rotation.y, is_second);
}

// What becomes of a column of a head; nothing where there is none.
fn ready(token: u32, head: u32, column: u32, scale: f32) -> f32 {
    if head >= params.heads + 2 * params.kv_heads || column >= params.head_dim {
        return 0.0;
    }
    if head < params.heads + params.kv_heads {
        return rotated(token, head, column, scale);
    }
    return biased(token, head, column);
}

// What a head is divided by its root mean square with.
fn scale_of(token: u32, head: u32, lane: u32) -> f32 {
    var squares = 0.0;
    for (var i = lane; i < params.head_dim && head < params.heads + params.kv_heads; i += WORKGROUP_SIZE) {
        let value = biased(token, head, i);
        squares += value * value;
    }
    return inverseSqrt(lanes_sum(squares, lane) / f32(params.head_dim) + params.epsilon);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let q_groups = (params.heads + GROUP - 1) / GROUP;
    let is_query = workgroup.x < q_groups;
    // The first head, among all and among those of q or of the cache.
    let first = select(params.heads + (workgroup.x - q_groups) * GROUP, workgroup.x * GROUP, is_query);
    var scales: array<f32, MOST_GROUP>;
    if NORM != 0 {
        for (var i = 0u; i < GROUP; i++) {
            scales[i] = scale_of(token, first + i, lane);
        }
    }
    if is_query {
        let start = token * params.heads * params.width;
        for (var i = lane; i < min(GROUP, params.heads - first) * params.width; i += WORKGROUP_SIZE) {
            let head = i / params.width;
            q[start + first * params.width + i] = ready(token, first + head, i % params.width, scales[head]);
        }
        return;
    }
    let begin = (first - params.heads) * params.width;
    for (var block = lane; 32 * block < GROUP * params.width; block += WORKGROUP_SIZE) {
        var values: array<mat2x4f, 4>;
        for (var i = 0u; i < 32; i++) {
            let head = (32 * block + i) / params.width;
            let column = (32 * block + i) % params.width;
            values[i / 8][i / 4 % 2][i % 4] = ready(token, first + head, column, scales[min(head, MOST_GROUP - 1)]);
        }
        store_row_block(slots[token], 2 * params.kv_heads * params.width / 8, begin / 32 + block, values);
    }
}

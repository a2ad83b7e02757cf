// q, k, v = x + bias; q and k normalised head by head and rotated; k, v to the cache (GQA, arXiv 2305.13245).
//
//   x               [tokens, heads + 2 * kv_heads, head_dim]
//   bias            [heads + 2 * kv_heads, head_dim]
//   q_gain, k_gain  [head_dim]
//   rotations       [tokens, pairs, 2]
//   slots           [tokens]
//   q               [tokens, heads, head_dim]
//   cache           [rows, 2 * kv_heads, head_dim]
//
// One workgroup per token and head of x. A token's row of the cache is its slot, or its own
// number where SLOTS is 0. `bias` is read if BIAS is not 0, the gains if
// NORM is not 0 (RMSNorm, arXiv 1910.07467). Pairs start at column `offset` of each
// head; they are neighbours (interleaved) or `pairs` columns apart (half-split).

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
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
@group(0) @binding(8) var<storage, read_write> cache: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = WORKGROUP_SIZE;
override BIAS: u32 = 1;
override NORM: u32 = 1;
override SLOTS: u32 = 1;

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

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let head = workgroup.x;
    let token = workgroup.y;
    var scale = 1.0;
    if NORM != 0 {
        var sum_of_squares = 0.0;
        for (var i = lane; i < params.head_dim; i += WORKGROUP_SIZE) {
            let value = biased(token, head, i);
            sum_of_squares += value * value;
        }
        let mean_square = lanes_sum(sum_of_squares, lane) / f32(params.head_dim);
        scale = inverseSqrt(mean_square + params.epsilon);
    }

    if head < params.heads {
        let start = (token * params.heads + head) * params.head_dim;
        for (var i = lane; i < params.head_dim; i += WORKGROUP_SIZE) {
            q[start + i] = rotated(token, head, i, scale);
        }
        return;
    }
    let row = select(token, slots[token], SLOTS != 0);
    let start = (row * 2 * params.kv_heads + head - params.heads) * params.head_dim;
    let is_key = head < params.heads + params.kv_heads;
    for (var i = lane; i < params.head_dim; i += WORKGROUP_SIZE) {
        if is_key {
            cache[start + i] = rotated(token, head, i, scale);
        } else {
            cache[start + i] = biased(token, head, i);
        }
    }
}

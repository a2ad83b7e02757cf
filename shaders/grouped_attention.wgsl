// z = softmax(scale * q * transpose(k)) * v, where a group of heads shares k and v (GQA, arXiv 2305.13245), with
// the online softmax of FlashAttention (arXiv 2205.14135).
//
//   q          [tokens, heads, head_dim]
//   cache      [slots, 2 * kv_heads, head_dim]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   z          [tokens, splits, heads, head_dim]
//   stats      [tokens, splits, heads, 2]
//
// One workgroup per token, up to four heads of a group, and part of the context (a split);
// the heads share every load of the cache, where keys lie before values. A lane computes
// the scores of four keys at a time. Then it owns four columns of z, for every key or, if
// lanes are left, for every so many keys. Keys are the cache's rows at the positions up to
// the token's own; `blocks` maps positions to slots, BLOCK to a block. `stats` are the
// largest score and the sum of the exponentials, for merge_splits. `head_dim` is counted
// in vec4s, of which there are at most WORKGROUP_SIZE.

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> z: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

override WORKGROUP_SIZE: u32 = 64;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;
const NOTHING: f32 = -1e30;

var<workgroup> key_rows: array<vec4u, WORKGROUP_SIZE>;
// Each lane's largest scores, and at the end the sums of its weights.
var<workgroup> lane_heads: array<vec4f, WORKGROUP_SIZE>;
// Element [i][j] holds the heads' weights of key 4 * i + j, and at the end lane i's columns of head j.
var<workgroup> lane_values: array<mat4x4f, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let group = params.heads / params.kv_heads;
    let kv_head = workgroup.x / ((group + 3) / 4);
    let first = 4 * (workgroup.x % ((group + 3) / 4));
    let left = min(group - first, 4);
    let context = positions[token] + 1;
    let splits = clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);
    if split >= splits {
        return;
    }
    let begin = split * context / splits;
    let end = (split + 1) * context / splits;

    let heads = kv_head * group + first + min(vec4u(0, 1, 2, 3), vec4u(left - 1));
    let q_rows = (token * params.heads + heads) * params.head_dim;
    let row_words = cache_words(2 * params.kv_heads * params.head_dim);
    let key_start = kv_head * params.head_dim;
    let value_column = (params.kv_heads + kv_head) * params.head_dim + lane % params.head_dim;
    let parts = WORKGROUP_SIZE / params.head_dim;
    // Lanes beyond the last whole part have no keys.
    let part = select(WORKGROUP_SIZE, lane / params.head_dim, lane < parts * params.head_dim);

    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = mat4x4f();
    for (var start = begin; start < end; start += 4 * WORKGROUP_SIZE) {
        let keys = start + 4 * lane + vec4u(0, 1, 2, 3);
        let rows = row_words * slots_of(sequences[token], min(keys, vec4u(end - 1)));
        key_rows[lane] = rows;
        // Element [i][j] is the score of key i for head j.
        var scores = mat4x4f();
        for (var i = 0u; i < params.head_dim && keys.x < end; i++) {
            let queries = mat4x4f(q[q_rows.x + i], q[q_rows.y + i], q[q_rows.z + i], q[q_rows.w + i]);
            scores[0] += cache4(rows.x, key_start + i) * queries;
            scores[1] += cache4(rows.y, key_start + i) * queries;
            scores[2] += cache4(rows.z, key_start + i) * queries;
            scores[3] += cache4(rows.w, key_start + i) * queries;
        }
        scores[0] = select(vec4f(NOTHING), params.scale * scores[0], keys.x < end);
        scores[1] = select(vec4f(NOTHING), params.scale * scores[1], keys.y < end);
        scores[2] = select(vec4f(NOTHING), params.scale * scores[2], keys.z < end);
        scores[3] = select(vec4f(NOTHING), params.scale * scores[3], keys.w < end);
        lane_heads[lane] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
        workgroupBarrier();

        // Every lane finds the same maximum, so that none has to wait for another.
        var new_largest = largest;
        for (var i = 0u; i < WORKGROUP_SIZE && start + 4 * i < end; i++) {
            new_largest = max(new_largest, lane_heads[i]);
        }
        lane_values[lane] = mat4x4f(
            exp(scores[0] - new_largest),
            exp(scores[1] - new_largest),
            exp(scores[2] - new_largest),
            exp(scores[3] - new_largest),
        );
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        workgroupBarrier();

        total *= shrink;
        sums = mat4x4f(sums[0] * shrink.x, sums[1] * shrink.y, sums[2] * shrink.z, sums[3] * shrink.w);
        // Keys beyond the end weigh nothing and repeat the last key's row.
        for (var i = part; i < WORKGROUP_SIZE && start + 4 * i < end; i += parts) {
            let value_rows = key_rows[i];
            for (var j = 0u; j < 4; j++) {
                let weight = lane_values[i][j];
                let value = cache4(value_rows[j], value_column);
                total += weight;
                sums += mat4x4f(weight.x * value, weight.y * value, weight.z * value, weight.w * value);
            }
        }
        // The next keys overwrite what slower lanes still read.
        workgroupBarrier();
    }

    lane_heads[lane] = total;
    lane_values[lane] = sums;
    workgroupBarrier();
    let row = (token * params.splits + split) * params.heads + heads.x;
    for (var i = lane; i < left * params.head_dim; i += WORKGROUP_SIZE) {
        let head = i / params.head_dim;
        var denominator = 0.0;
        var sum = vec4f();
        for (var j = 0u; j < parts; j++) {
            denominator += lane_heads[j * params.head_dim][head];
            sum += lane_values[j * params.head_dim + i % params.head_dim][head];
        }
        z[row * params.head_dim + i] = sum / denominator;
        if i % params.head_dim == 0 {
            stats[row + head] = vec2f(largest[head], denominator);
        }
    }
}

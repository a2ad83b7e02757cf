// z = softmax(scale * q * transpose(cache)) * cache[..latent], per head: multi-head latent attention in absorbed
// form (DeepSeek-V2, arXiv 2405.04434) with the online softmax of FlashAttention (arXiv 2205.14135).
//
//   q          [tokens, heads, width]
//   cache      [slots, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   z          [tokens, splits, heads, latent]
//   stats      [tokens, splits, heads, 2]
//
// One workgroup per token, four heads and part of the context (a split). The four heads
// share every load of the cache. A lane computes the scores of four keys at a time, then
// owns four columns of z: WORKGROUP_SIZE is latent / 4. Keys are the cache's rows at the
// positions up to the token's own; `blocks` maps positions to slots, BLOCK to a block.
// `stats` are the largest score and the sum of the exponentials, for merge_splits.
// `width` and `latent` are multiples of 4 and counted in vec4s.

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
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> z: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

override WORKGROUP_SIZE: u32 = 128;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

const NOTHING: f32 = -1e30;

var<workgroup> key_rows: array<vec4u, WORKGROUP_SIZE>;
var<workgroup> lane_maxima: array<vec4f, WORKGROUP_SIZE>;
// Element [i][j] holds the four heads' weights of key 4 * i + j.
var<workgroup> key_weights: array<array<vec4f, 4>, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let first_head = 4 * workgroup.x;
    let context = positions[token] + 1;
    let splits = clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);
    if split >= splits {
        return;
    }
    let begin = split * context / splits;
    let end = (split + 1) * context / splits;

    let heads = min(first_head + vec4u(0, 1, 2, 3), vec4u(params.heads - 1));
    let q_rows = (token * params.heads + heads) * params.width;

    var largest = vec4f(NOTHING);
    var total = vec4f();
    var sums = mat4x4f();
    for (var start = begin; start < end; start += 4 * WORKGROUP_SIZE) {
        let keys = start + 4 * lane + vec4u(0, 1, 2, 3);
        let rows = cache_words(params.width) * slots_of(sequences[token], min(keys, vec4u(end - 1)));
        key_rows[lane] = rows;
        // Element [i][j] is the score of key i for head j.
        var scores = mat4x4f();
        for (var i = 0u; i < params.width; i++) {
            let q0 = q[q_rows.x + i];
            let q1 = q[q_rows.y + i];
            let q2 = q[q_rows.z + i];
            let q3 = q[q_rows.w + i];
            let k0 = cache4(rows.x, i);
            let k1 = cache4(rows.y, i);
            let k2 = cache4(rows.z, i);
            let k3 = cache4(rows.w, i);
            scores[0] += vec4f(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
            scores[1] += vec4f(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
            scores[2] += vec4f(dot(q0, k2), dot(q1, k2), dot(q2, k2), dot(q3, k2));
            scores[3] += vec4f(dot(q0, k3), dot(q1, k3), dot(q2, k3), dot(q3, k3));
        }
        scores[0] = select(vec4f(NOTHING), params.scale * scores[0], keys.x < end);
        scores[1] = select(vec4f(NOTHING), params.scale * scores[1], keys.y < end);
        scores[2] = select(vec4f(NOTHING), params.scale * scores[2], keys.z < end);
        scores[3] = select(vec4f(NOTHING), params.scale * scores[3], keys.w < end);
        lane_maxima[lane] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
        workgroupBarrier();

        // Every lane finds the same maximum, so that none has to wait for another.
        var new_largest = largest;
        for (var i = 0u; i < WORKGROUP_SIZE; i++) {
            new_largest = max(new_largest, lane_maxima[i]);
        }
        key_weights[lane][0] = exp(scores[0] - new_largest);
        key_weights[lane][1] = exp(scores[1] - new_largest);
        key_weights[lane][2] = exp(scores[2] - new_largest);
        key_weights[lane][3] = exp(scores[3] - new_largest);
        let shrink = exp(largest - new_largest);
        largest = new_largest;
        workgroupBarrier();

        total *= shrink;
        sums[0] *= shrink.x;
        sums[1] *= shrink.y;
        sums[2] *= shrink.z;
        sums[3] *= shrink.w;
        // Keys beyond the end weigh nothing and repeat the last key's row.
        for (var i = 0u; i < WORKGROUP_SIZE && start + 4 * i < end; i++) {
            let value_rows = key_rows[i];
            for (var j = 0u; j < 4; j++) {
                let weight = key_weights[i][j];
                let value = cache4(value_rows[j], lane);
                total += weight;
                sums[0] += weight.x * value;
                sums[1] += weight.y * value;
                sums[2] += weight.z * value;
                sums[3] += weight.w * value;
            }
        }
        // The next keys overwrite what slower lanes still read.
        workgroupBarrier();
    }

    let row = (token * params.splits + split) * params.heads + first_head;
    let z_start = row * params.latent + lane;
    let left = params.heads - first_head;
    z[z_start] = sums[0] / total.x;
    if left > 1 { z[z_start + params.latent] = sums[1] / total.y; }
    if left > 2 { z[z_start + 2 * params.latent] = sums[2] / total.z; }
    if left > 3 { z[z_start + 3 * params.latent] = sums[3] / total.w; }
    for (var i = lane; i < min(left, 4); i += WORKGROUP_SIZE) {
        stats[row + i] = vec2f(largest[i], total[i]);
    }
}

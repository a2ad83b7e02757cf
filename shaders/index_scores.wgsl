// y = scale * weights * relu(q * transpose(cache)): how much a token wants each key (the indexer of DeepSeek-V3.2).
//
//   q          [tokens, heads, width]
//   weights    [tokens, stride]
//   cache      [slots, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   y          [rows, blocks_per_sequence * BLOCK]
//
// One workgroup per row of y and 4 * WORKGROUP_SIZE keys; row 0 is token `first`. A lane takes
// four keys, and four heads at a time. A token's weights are the `heads` columns from
// `offset` on. Rows of tokens that see no more than `most` keys stay as they
// are, and so do scores of later positions. `width` is counted in vec4s.

struct Params {
    heads: u32,
    width: u32,
    stride: u32,
    offset: u32,
    blocks_per_sequence: u32,
    first: u32,
    most: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> sequences: array<u32>;
@group(0) @binding(6) var<storage, read> blocks: array<u32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = params.first + workgroup.y;
    let context = positions[token] + 1;
    let keys = 4 * WORKGROUP_SIZE * workgroup.x + lane + WORKGROUP_SIZE * vec4u(0, 1, 2, 3);
    if context <= params.most || keys.x >= context {
        return;
    }
    let rows = cache_words(params.width) * slots_of(sequences[token], min(keys, vec4u(context - 1)));
    var scores = vec4f();
    for (var first_head = 0u; first_head < params.heads; first_head += 4) {
        // Heads beyond the last one repeat it and weigh nothing.
        let wanted = first_head + vec4u(0, 1, 2, 3);
        let heads = min(wanted, vec4u(params.heads - 1));
        let q_rows = (token * params.heads + heads) * params.width;
        // Element [i][j] is the product of key i and head j.
        var products = mat4x4f();
        for (var i = 0u; i < params.width; i++) {
            let q0 = q[q_rows.x + i];
            let q1 = q[q_rows.y + i];
            let q2 = q[q_rows.z + i];
            let q3 = q[q_rows.w + i];
            let k0 = cache4(rows.x, i);
            let k1 = cache4(rows.y, i);
            let k2 = cache4(rows.z, i);
            let k3 = cache4(rows.w, i);
            products[0] += vec4f(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
            products[1] += vec4f(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
            products[2] += vec4f(dot(q0, k2), dot(q1, k2), dot(q2, k2), dot(q3, k2));
            products[3] += vec4f(dot(q0, k3), dot(q1, k3), dot(q2, k3), dot(q3, k3));
        }
        let at = token * params.stride + params.offset + heads;
        let known = vec4f(weights[at.x], weights[at.y], weights[at.z], weights[at.w]);
        let shares = select(vec4f(), known, wanted < vec4u(params.heads));
        scores.x += dot(shares, max(products[0], vec4f()));
        scores.y += dot(shares, max(products[1], vec4f()));
        scores.z += dot(shares, max(products[2], vec4f()));
        scores.w += dot(shares, max(products[3], vec4f()));
    }
    let row = workgroup.y * params.blocks_per_sequence * BLOCK;
    for (var i = 0u; i < 4; i++) {
        if keys[i] < context {
            y[row + keys[i]] = params.scale * scores[i];
        }
    }
}

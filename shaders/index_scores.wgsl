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
// four keys, and eight heads at a time. A token's weights are the `heads` columns from
// `offset` on. Rows of tokens that see no more than `most` keys stay as they
// are, and so do scores of later positions. `width` is counted in chunks of 8.

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
@group(0) @binding(1) var<storage, read> q: array<Wide>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> sequences: array<u32>;
@group(0) @binding(6) var<storage, read> blocks: array<u32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

// Where the queries of heads start; beyond the last head it is repeated.
fn query_starts(token: u32, heads: vec4u) -> vec4u {
    return (token * params.heads + min(heads, vec4u(params.heads - 1))) * params.width;
}

// What heads weigh: nothing beyond the last.
fn shares(token: u32, heads: vec4u) -> vec4f {
    let at = token * params.stride + params.offset + min(heads, vec4u(params.heads - 1));
    let known = vec4f(weights[at.x], weights[at.y], weights[at.z], weights[at.w]);
    return select(vec4f(), known, heads < vec4u(params.heads));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = params.first + workgroup.y;
    let context = positions[token] + 1;
    let keys = 4 * WORKGROUP_SIZE * workgroup.x + lane + WORKGROUP_SIZE * vec4u(0, 1, 2, 3);
    // Eight lanes go together.
    if context <= params.most || keys.x - lane % 8 >= context {
        return;
    }
    let rows = cache_words(params.width) * slots_of(sequences[token], min(keys, vec4u(context - 1)));
    var scores = vec4f();
    for (var first = 0u; first < params.heads; first += 8) {
        let low = first + vec4u(0, 1, 2, 3);
        let high = low + 4;
        let low_at = query_starts(token, low);
        let products = key_scores(low_at, query_starts(token, high), rows, 0, params.width, lane);
        let low_shares = shares(token, low);
        let high_shares = shares(token, high);
        for (var i = 0u; i < 4; i++) {
            scores[i] += dot(low_shares, max(products.low[i], vec4f()));
            scores[i] += dot(high_shares, max(products.high[i], vec4f()));
        }
    }
    let row = workgroup.y * params.blocks_per_sequence * BLOCK;
    for (var i = 0u; i < 4; i++) {
        if keys[i] < context {
            y[row + keys[i]] = params.scale * scores[i];
        }
    }
}

// y[h] = (q[h] * transpose(weight[h]), rope of q[h]'s tail), and what latent attention keeps of the tokens goes to the
// cache: a query in the latent's space and the key beside it (DeepSeek-V2, arXiv 2405.04434).
//
//   q          [tokens, heads, stride]
//   kv         [tokens, kv_stride]
//   gain       [latent]
//   rotations  [tokens, pairs, 2]
//   slots      [tokens]
//   weight     [heads, outer, inner]
//   y          [tokens, heads, width]
//   cache      [slots, words]
//
// LANES lanes share four values of y. The first `inner` values of q[h] are multiplied;
// the 2 * pairs behind them turn, and lie behind the `outer` products; zeros fill y up.
// Behind a shard's heads a workgroup per token stores a row, if the launch has as many.
// `stride` and `width` are counted in chunks of 8.

struct Params {
    heads: u32,
    stride: u32,
    inner: u32,
    outer: u32,
    width: u32,
    kv_stride: u32,
    kv_offset: u32,
    latent: u32,
    pairs: u32,
    rope_start: u32,
    cache_chunks: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Wide>;
@group(0) @binding(2) var<storage, read> kv: array<f32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> cache: array<CacheWord>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 8;

fn head_chunk(start: u32, chunk: u32) -> mat2x4f {
    return wide(q[start + chunk]);
}

// Value `column` of the head of q that starts at chunk `start`.
fn query(start: u32, column: u32) -> f32 {
    return wide(q[start + column / 8])[column / 4 % 2][column % 4];
}

// Value `index` behind the products.
fn tail(token: u32, start: u32, index: u32) -> f32 {
    if index >= 2 * params.pairs {
        return 0.0;
    }
    let rotation = rotations[token * params.pairs + index / 2];
    let u = query(start, params.inner + index / 2 * 2);
    let v = query(start, params.inner + index / 2 * 2 + 1);
    return select(u * rotation.x - v * rotation.y, v * rotation.x + u * rotation.y, index % 2 == 1);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    // Heads of the shard only.
    let local_head = workgroup.y;
    if local_head == weight.rows / params.outer {
        if workgroup.x == 0 {
            store_latent_row(token, lane);
        }
        return;
    }
    let head = weight.first_row / params.outer + local_head;
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let start = (token * params.heads + head) * params.stride;
    let rows = local_head * params.outer + min(first + vec4u(0, 1, 2, 3), vec4u(params.outer - 1));
    let partial = heads_product(start, rows, params.inner, lane);
    let total = vec4f(
        lanes_sum(partial.x, lane),
        lanes_sum(partial.y, lane),
        lanes_sum(partial.z, lane),
        lanes_sum(partial.w, lane),
    );
    if lane % LANES == 0 {
        let y_start = 8 * (token * params.heads + head) * params.width;
        for (var column = first; column < min(first + 4, 8 * params.width); column++) {
            if column < params.outer {
                y[y_start + column] = total[column - first];
            } else {
                y[y_start + column] = tail(token, start, column - params.outer);
            }
        }
    }
}

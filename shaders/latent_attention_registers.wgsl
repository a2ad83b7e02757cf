// z = softmax(scale * q * transpose(cache)) * cache[..latent], per head: latent_attention for many heads, without
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
// One subgroup of 8 lanes per token, 16 heads and part of the context (a split). For the
// scores a lane has four keys, for the values eight columns, for every chunk of 64 of them
// after the other; what a lane needs of another's keys, it takes from its registers. The
// sums of the values wait in `z` for the next 32 keys. `stats` are the largest score and
// the sum of the exponentials, for merge_heads. `width` and `latent` are counted in chunks of 8.

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
@group(0) @binding(2) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> z: array<Wide>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

override WORKGROUP_SIZE: u32 = 8;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;
const NOTHING: f32 = -1e30;

// Adds the values of the four keys of a lane.
fn sums_plus_lane(sums: Sums, weights: Quads, keys: vec4u, chunk: u32, lane: u32) -> Sums {
    let rows = subgroupShuffle(keys, lane);
    let a = cache8(rows.x, chunk);
    let b = cache8(rows.y, chunk);
    let c = cache8(rows.z, chunk);
    let d = cache8(rows.w, chunk);
    return Sums(
        quad_plus(sums.a, weights.a, lane, a, b, c, d),
        quad_plus(sums.b, weights.b, lane, a, b, c, d),
        quad_plus(sums.c, weights.c, lane, a, b, c, d),
        quad_plus(sums.d, weights.d, lane, a, b, c, d),
    );
}

fn sums_divided(sums: Sums, denominators: mat4x4f) -> Sums {
    return Sums(
        heads_scaled(sums.a, 1 / denominators[0]),
        heads_scaled(sums.b, 1 / denominators[1]),
        heads_scaled(sums.c, 1 / denominators[2]),
        heads_scaled(sums.d, 1 / denominators[3]),
    );
}

// Where the rows of four heads start in z.
fn z_rows(first: u32, head: u32) -> vec4u {
    return (first + min(head + vec4u(0, 1, 2, 3), vec4u(params.heads - 1))) * params.latent;
}

fn z_loaded(at: vec4u, factors: vec4f) -> Heads {
    return heads_scaled(quad_heads(wide(z[at.x]), wide(z[at.y]), wide(z[at.z]), wide(z[at.w])), factors);
}

// Heads beyond the last repeat it.
fn z_store(at: vec4u, sums: Heads) {
    z[at.x] = wide_stored(mat2x4f(sums.low[0], sums.high[0]));
    z[at.y] = wide_stored(mat2x4f(sums.low[1], sums.high[1]));
    z[at.z] = wide_stored(mat2x4f(sums.low[2], sums.high[2]));
    z[at.w] = wide_stored(mat2x4f(sums.low[3], sums.high[3]));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    let split = workgroup.y;
    let head = 16 * workgroup.x;
    let context = positions[token] + 1;
    let splits = splits_of(context);
    if split >= splits {
        return;
    }
    let begin = split_begin(split, context, splits);
    let end = split_begin(split + 1, context, splits);

    let sequence = sequences[token];
    let near = (token * params.heads + min(head + lane, params.heads - 1)) * params.width;
    let far = (token * params.heads + min(head + 8 + lane, params.heads - 1)) * params.width;
    let first_row = (token * params.splits + split) * params.heads;
    let rows_a = z_rows(first_row, head);
    let rows_b = z_rows(first_row, head + 4);
    let rows_c = z_rows(first_row, head + 8);
    let rows_d = z_rows(first_row, head + 12);
    // Columns are four heads each.
    var largest = quad_nothing();
    var total = mat4x4f();
    for (var start = begin; start < end; start += 32) {
        let first = start + 4 * lane;
        let keys = cache_words(params.width) * slots_of(sequence, min(first + vec4u(0, 1, 2, 3), vec4u(end - 1)));
        let scores = quad_scores(near, far, keys, first, end);
        let most = quad_largest(scores, largest);
        let weights = quad_weights(scores, most);
        let shrink = quad_shrink(largest, most);
        largest = most;
        total = quad_total(total, shrink, weights);
        let denominators = quad_everywhere(total);
        let lanes = min((end - start + 3) / 4, 8);
        for (var group = 0u; group < params.latent; group += 8) {
            let chunk = min(group + lane, params.latent - 1);
            var sums = Sums();
            if start > begin {
                sums = Sums(
                    z_loaded(rows_a + chunk, shrink[0]),
                    z_loaded(rows_b + chunk, shrink[1]),
                    z_loaded(rows_c + chunk, shrink[2]),
                    z_loaded(rows_d + chunk, shrink[3]),
                );
            }
            for (var i = 0u; i < lanes; i++) {
                sums = sums_plus_lane(sums, weights, keys, chunk, i);
            }
            if start + 32 >= end {
                sums = sums_divided(sums, denominators);
            }
            if group + lane < params.latent {
                z_store(rows_a + chunk, sums.a);
                z_store(rows_b + chunk, sums.b);
                z_store(rows_c + chunk, sums.c);
                z_store(rows_d + chunk, sums.d);
            }
        }
    }
    let denominators = quad_everywhere(total);
    for (var i = lane; i < min(16, params.heads - head); i += 8) {
        stats[first_row + head + i] = vec2f(largest[i / 4][i % 4], denominators[i / 4][i % 4]);
    }
}

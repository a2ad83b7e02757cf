// z = softmax(scale * q * transpose(cache)) * cache[..value], per head: multi-head latent attention in absorbed
// form (DeepSeek-V2, arXiv 2405.04434).
//
//   q          [tokens, heads, width]
//   cache      [slots, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   z          [tokens, splits, heads, value]
//   stats      [tokens, splits, heads, 2]
//
// One workgroup per tile of rows (attend) and part of the context (a split). Keys are the
// cache's rows at the positions up to the token's own; `blocks` maps positions to slots,
// BLOCK to a block. `stats` are the largest score and the sum of the exponentials, for
// merge_heads. `width` and `value` are counted in chunks of 8.

struct Params {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    value: u32,
    tile_tokens: u32,
    tile_heads: u32,
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
@group(0) @binding(6) var<storage, read_write> z: array<mat2x4f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec2f>;

override WORKGROUP_SIZE: u32 = 64;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

fn row_chunks() -> u32 {
    return params.width;
}

// The one head of keys.
fn key_start(kv_head: u32) -> u32 {
    return 0u;
}

// A key's first columns are its value.
fn value_start(kv_head: u32) -> u32 {
    return 0u;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = attend_tile(workgroup);
    if tile.split >= tile.splits {
        return;
    }
    let state = attend(tile, lane);
    for (var half = 0u; half < 2; half++) {
        attend_share(state, half, lane);
        for (var i = lane; i < 4 * params.value; i += WORKGROUP_SIZE) {
            let row = 4 * half + i / params.value;
            let chunk = i % params.value;
            if row < tile.tokens * tile.heads {
                let token = tile.token + row / tile.heads;
                let at = (token * params.splits + tile.split) * params.heads + tile.head + row % tile.heads;
                z[at * params.value + chunk] = attend_mean(row, chunk);
                if chunk == 0 {
                    stats[at] = vec2f(state.largest[row / 4][row % 4], attend_total(row));
                }
            }
        }
        workgroupBarrier();
    }
}

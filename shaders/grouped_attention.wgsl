// y = softmax(scale * q * transpose(k)) * v, where a group of heads shares k and v (GQA, arXiv 2305.13245).
//
//   q          [tokens, heads, width]
//   cache      [slots, 2 * kv_heads, width]
//   positions  [tokens]
//   sequences  [tokens]
//   blocks     [sequences, blocks_per_sequence]
//   parts      [tokens, splits, heads, value + 2]
//   tickets    [tiles]
//   y          [tokens, heads, head_dim]
//
// One workgroup per tile of rows (attend) and part of the context (a split); in the
// cache's rows keys lie before values. Keys are the rows at the positions up to the
// token's own; `blocks` maps positions to slots, BLOCK to a block. The last workgroup of
// a tile to draw a ticket merges what all of them left in `parts`, and puts the ticket
// back. `width` and `value` are head_dim in chunks of 8, of which y has only whole vec4s.

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
    head_dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Wide>;
@group(0) @binding(2) var<storage, read> cache: array<CacheWord>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<u32>;
@group(0) @binding(5) var<storage, read> blocks: array<u32>;
@group(0) @binding(6) var<storage, read_write> parts: array<atomic<u32>>;
@group(0) @binding(7) var<storage, read_write> tickets: array<atomic<u32>>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;

override WORKGROUP_SIZE: u32 = 64;
// A power of two is cheap to divide by, if it is known when the kernel is compiled.
override BLOCK: u32 = 32;

var<workgroup> ticket: u32;

fn row_chunks() -> u32 {
    return 2 * params.kv_heads * params.width;
}

fn key_start(kv_head: u32) -> u32 {
    return kv_head * params.width;
}

fn value_start(kv_head: u32) -> u32 {
    return (params.kv_heads + kv_head) * params.width;
}

fn write(tile: Tile, row: u32, chunk: u32, values: mat2x4f) {
    let token = tile.token + row / tile.heads;
    let at = (token * params.heads + tile.head + row % tile.heads) * params.head_dim + 2 * chunk;
    y[at] = values[0];
    if 2 * chunk + 1 < params.head_dim {
        y[at + 1] = values[1];
    }
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
    let rows = tile.tokens * tile.heads;
    var seen = 0u;
    for (var half = 0u; half < 2; half++) {
        attend_share(state, half, lane);
        for (var i = lane; i < 4 * params.value; i += WORKGROUP_SIZE) {
            let row = 4 * half + i / params.value;
            let chunk = i % params.value;
            if row < rows && tile.splits == 1 {
                write(tile, row, chunk, attend_mean(row, chunk));
            } else if row < rows {
                let values = attend_mean(row, chunk);
                let start = part_start(tile, tile.split, row);
                for (var j = 0u; j < 8; j++) {
                    seen ^= part_leave(start + 8 * chunk + j, values[j / 4][j % 4]);
                }
                if chunk == 0 {
                    seen ^= part_leave(start + 8 * params.value, state.largest[row / 4][row % 4]);
                    seen ^= part_leave(start + 8 * params.value + 1, attend_total(row));
                }
            }
        }
        workgroupBarrier();
    }
    if tile.splits == 1 {
        return;
    }
    attend_keys[lane] = vec4u(seen);
    storageBarrier();
    workgroupBarrier();
    let place = workgroup.z * params.heads + workgroup.x;
    if lane == 0 {
        ticket = atomicAdd(&tickets[place], 1);
    }
    if workgroupUniformLoad(&ticket) + 1 < tile.splits {
        return;
    }
    for (var i = lane; i < rows * params.value; i += WORKGROUP_SIZE) {
        write(tile, i / params.value, i % params.value, part_merged(tile, i / params.value, i % params.value));
    }
    if lane == 0 {
        atomicStore(&tickets[place], 0);
    }
}

// y[entry] = x[entry / repeat] * transpose(weight[expert of the entry]), for many tokens.
//
//   x        [rows, inner]
//   entries  [tokens, slots]
//   tiles    [max_tiles, 4]
//   weight   [experts, outer, inner]
//   y        [tokens, slots, width]
//
// A workgroup per tile, of up to BLOCK_TOKENS entries, by 4 * BLOCK_STRIDE values. `repeat`
// is the number of slots where they share a token's row of x, else 1. The products are
// columns of y from `first_column` on.

struct Params {
    repeat: u32,
    outer: u32,
    first_column: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> entries: array<u32>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 128;
override BLOCK_TOKENS: u32 = 64;

struct Block {
    first_entry: u32,
    entries: u32,
    // Row of the shard at which the expert starts.
    expert_row: u32,
    column: u32,
}

fn block_token(block: Block, place: u32) -> u32 {
    return entries[block.first_entry + min(place, block.entries - 1)] / params.repeat;
}

fn block_row(block: Block, place: u32) -> u32 {
    return block.expert_row + min(block.column + place, params.outer - 1);
}

fn block_store(block: Block, token_place: u32, row_place: u32, values: vec4f) {
    if token_place >= block.entries {
        return;
    }
    let start = entries[block.first_entry + token_place] * params.width + params.first_column;
    for (var i = 0u; i < 4; i++) {
        let column = block.column + row_place + BLOCK_STRIDE * i;
        if column < params.outer {
            y[start + column] = values[i];
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tiles[workgroup.y];
    let expert_row = tile.x * params.outer - weight.first_row;
    // Experts of other shards are left to their launches; those before it wrap around.
    if tile.z == 0 || expert_row >= weight.rows {
        return;
    }
    block_run(Block(tile.y, tile.z, expert_row, 4 * BLOCK_STRIDE * workgroup.x), lane);
}

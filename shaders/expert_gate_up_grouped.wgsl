// y[entry] = silu(gate * x) * (up * x) with the weights of the entry's expert, for many tokens.
//
//   x        [tokens, inner]
//   entries  [tokens, slots]
//   tiles    [max_tiles, 4]
//   weight   [experts, 2 * width, inner]
//   y        [tokens, slots, width]
//
// A workgroup per tile, of up to BLOCK_TOKENS entries, by 2 * BLOCK_STRIDE values. The
// first half of an expert's rows is the gate, the second the up projection; the rows of a
// block are divided likewise, so that a lane has both.

struct Params {
    slots: u32,
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
    return entries[block.first_entry + min(place, block.entries - 1)] / params.slots;
}

fn block_row(block: Block, place: u32) -> u32 {
    let columns = 2 * BLOCK_STRIDE;
    let column = min(block.column + place % columns, params.width - 1);
    return block.expert_row + place / columns * params.width + column;
}

fn block_store(block: Block, token_place: u32, row_place: u32, values: vec4f) {
    if token_place >= block.entries {
        return;
    }
    let gates = values.xy;
    let products = gates / (1 + exp(min(-gates, vec2f(80)))) * values.zw;
    let start = entries[block.first_entry + token_place] * params.width;
    for (var i = 0u; i < 2; i++) {
        let column = block.column + row_place + BLOCK_STRIDE * i;
        if column < params.width {
            y[start + column] = products[i];
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tiles[workgroup.y];
    let expert_row = tile.x * 2 * params.width - weight.first_row;
    // Experts of other shards are left to their launches; those before it wrap around.
    if tile.z == 0 || expert_row >= weight.rows {
        return;
    }
    block_run(Block(tile.y, tile.z, expert_row, 2 * BLOCK_STRIDE * workgroup.x), lane);
}

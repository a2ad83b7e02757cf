// y[entry] = scale * operands * transpose(weight[expert of the entry]), for many tokens, by matrix units.
//
//   operands  [parts, padded_entries, stride]
//   places    [tokens, slots, 2]
//   tiles     [max_tiles, 4]
//   weight    [experts, outer, inner]
//   y         [tokens, slots, width]
//
// A workgroup per tile of MATRIX_TOKENS entries by MATRIX_ROWS values of y. Operands are in
// the order of experts, and so are the entries that they are of, each with its scale. The
// products are columns of y from `first_column` on.

struct Params {
    stride: u32,
    low: u32,
    outer: u32,
    first_column: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> operands: array<UnitValue>;
@group(0) @binding(2) var<storage, read> places: array<vec2u>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 128;

// What a tile starts with.
struct Tile {
    first: u32,
    chunks: u32,
    count: u32,
    // The expert's first row of the weight, and the tile's first row of the expert.
    expert_row: u32,
    row: u32,
}

fn tile_weights(tile: Tile, place: u32, chunk: u32) -> mat2x4f {
    return weight8(tile.expert_row + min(tile.row + place, params.outer - 1), chunk);
}

fn tile_store(tile: Tile, token_place: u32, row_place: u32, value: f32) {
    let row = tile.row + row_place;
    if token_place < tile.count && row < params.outer {
        let place = places[tile.first + token_place];
        y[place.x * params.width + params.first_column + row] = value * bitcast<f32>(place.y);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = tiles[workgroup.x];
    let expert_row = place.x * params.outer - weight.first_row;
    // Experts of other shards are left to their launches; those before it wrap around.
    if place.z == 0 || expert_row >= weight.rows {
        return;
    }
    let tile = Tile(place.y, weight.chunks, place.z, expert_row, MATRIX_ROWS * workgroup.y);
    matrix_run(tile, subgroup, lane);
}

// y = scales * operands * transpose(weight), for many tokens, by matrix units; with ADDED, the product is added to y.
//
//   operands  [parts, padded_tokens, stride]
//   scales    [tokens]
//   weight    [outer, inner]
//   y         [tokens, outer]
//
// A workgroup per MATRIX_TOKENS tokens by MATRIX_ROWS values of y; those that share rows
// of the weight are neighbours.

struct Params {
    stride: u32,
    low: u32,
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> operands: array<UnitValue>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 128;
override ADDED: u32 = 0;

// What a tile starts with.
struct Tile {
    first: u32,
    chunks: u32,
    row: u32,
}

fn tile_weights(tile: Tile, place: u32, chunk: u32) -> mat2x4f {
    return weight8(min(tile.row + place, weight.rows - 1), chunk);
}

fn tile_store(tile: Tile, token_place: u32, row_place: u32, value: f32) {
    let token = tile.first + token_place;
    let row = tile.row + row_place;
    if token < params.tokens && row < weight.rows {
        let at = token * weight.total_rows + weight.first_row + row;
        if ADDED == 0 {
            y[at] = value * scales[token];
        } else {
            y[at] += value * scales[token];
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = Tile(MATRIX_TOKENS * workgroup.x, weight.chunks, MATRIX_ROWS * workgroup.y);
    matrix_run(tile, subgroup, lane);
}

// y[entry] = x[entry / repeat] * transpose(weight[expert of the entry]), for many tokens.
//
//   x        [rows, inner]
//   entries  [tokens, slots]
//   tiles    [max_tiles, 4]
//   weight   [experts, outer, inner]
//   y        [tokens, slots, width]
//
// Each lane computes a tile's four entries by four values of y in registers. `repeat`
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

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = tiles[workgroup.y];
    let expert_row = tile.x * params.outer - weight.first_row;
    let column = 4 * (workgroup.x * WORKGROUP_SIZE + lane);
    let count = tile.z;
    // Experts of other shards are left to their launches; those before it wrap around.
    if count == 0 || column >= params.outer || expert_row >= weight.rows {
        return;
    }
    let next = vec4u(0, 1, 2, 3);
    let places = tile.y + min(next, vec4u(count - 1));
    let rows = vec4u(entries[places.x], entries[places.y], entries[places.z], entries[places.w]);
    let weight_rows = expert_row + min(column + next, vec4u(params.outer - 1));
    let block = block_product(rows / params.repeat, weight_rows);
    for (var i = 0u; i < count; i++) {
        let start = rows[i] * params.width + params.first_column + column;
        for (var j = 0u; j < 4 && column + j < params.outer; j++) {
            y[start + j] = block[i][j];
        }
    }
}

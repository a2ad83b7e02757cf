// y = weight[ids], the rows of a table.
//
//   ids     [tokens]
//   weight  [vocabulary, width]
//   y       [tokens, width]
//
// One lane per eight values of y. Rows of other shards are left to their launches.

struct Params {
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let chunk = workgroup.x * WORKGROUP_SIZE + lane;
    let row = ids[token] - weight.first_row;
    // Rows before the shard wrap around to huge numbers.
    if row >= weight.rows || chunk >= weight.chunks {
        return;
    }
    let values = weight8(row, chunk);
    let start = token * params.width;
    for (var i = 0u; i < 8; i++) {
        let column = 8 * chunk + i;
        if column < params.width {
            y[start + column] = values[i / 4][i % 4];
        }
    }
}

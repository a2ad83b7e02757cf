// y = x * transpose(weight), for many tokens; with ADDED, the product is added to y.
//
//   x       [tokens, inner]
//   weight  [outer, inner]
//   y       [tokens, outer]
//
// A workgroup per block of BLOCK_TOKENS tokens by 4 * BLOCK_STRIDE values.

struct Params {
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 128;
override BLOCK_TOKENS: u32 = 64;
override ADDED: u32 = 0;

// What a block starts with.
struct Block {
    token: u32,
    row: u32,
}

fn block_token(block: Block, place: u32) -> u32 {
    return min(block.token + place, params.tokens - 1);
}

fn block_row(block: Block, place: u32) -> u32 {
    return min(block.row + place, weight.rows - 1);
}

fn block_store(block: Block, token_place: u32, row_place: u32, values: vec4f) {
    let token = block.token + token_place;
    if token >= params.tokens {
        return;
    }
    let start = token * weight.total_rows + weight.first_row;
    for (var i = 0u; i < 4; i++) {
        let row = block.row + row_place + BLOCK_STRIDE * i;
        if row < weight.rows {
            if ADDED == 0 {
                y[start + row] = values[i];
            } else {
                y[start + row] += values[i];
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    block_run(Block(BLOCK_TOKENS * workgroup.y, 4 * BLOCK_STRIDE * workgroup.x), lane);
}

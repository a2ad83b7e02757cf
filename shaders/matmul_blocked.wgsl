// y = x * transpose(weight), for many tokens.
//
//   x       [tokens, inner]
//   weight  [outer, inner]
//   y       [tokens, outer]
//
// Each lane computes four tokens by four values of y in registers; neighbouring
// lanes take neighbouring values, so that they share the tokens' loads.

struct Params {
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = 4 * workgroup.y;
    let row = 4 * (workgroup.x * WORKGROUP_SIZE + lane);
    if row >= weight.rows {
        return;
    }
    let next = vec4u(0, 1, 2, 3);
    let tokens = min(token + next, vec4u(params.tokens - 1));
    let block = block_product(tokens, min(row + next, vec4u(weight.rows - 1)));
    for (var i = 0u; i < 4 && token + i < params.tokens; i++) {
        let start = (token + i) * weight.total_rows + weight.first_row + row;
        for (var j = 0u; j < 4 && row + j < weight.rows; j++) {
            y[start + j] = block[i][j];
        }
    }
}

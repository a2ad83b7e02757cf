// Blocks of products of rows of `x` with rows of the weight, staged in workgroup memory.
//
// Needs WORKGROUP_SIZE = 128, BLOCK_TOKENS = 32 or 64, x: array<Wide> with rows of
// weight.chunks * 8 values, and of the kernel
//   Block                              what tells blocks apart
//   block_token(block, place)          the row of `x` at a place below BLOCK_TOKENS
//   block_row(block, place)            the row of the weight at a place below 4 * BLOCK_STRIDE
//   block_store(block, token, row, v)  takes four products at the place `token`, and at the
//                                      places `row` and 1, 2 and 3 times BLOCK_STRIDE behind it
//
// Both sides are read sixteen columns at a time, so that a weight is unpacked once per block.
// A lane has four rows, 16 apart, and every eighth token.

const BLOCK_STRIDE: u32 = 16;
// Vectors from one row to the next, one of them unused: eight rows side by side lie in different banks.
const BLOCK_PITCH: u32 = 5;

var<workgroup> block_x: array<vec4f, 64 * BLOCK_PITCH>;
var<workgroup> block_weight: array<vec4f, 64 * BLOCK_PITCH>;

// Computes and stores the products of `block`; called by all lanes.
fn block_run(block: Block, lane: u32) {
    // What the lane brings: every second chunk of a row of either side.
    let place = lane / 2;
    let x_start = weight.chunks * block_token(block, place);
    let weight_row = block_row(block, place);
    let target_at = place * BLOCK_PITCH + lane % 2 * 2;

    let row_at = lane % BLOCK_STRIDE * BLOCK_PITCH;
    let token_at = lane / BLOCK_STRIDE * BLOCK_PITCH;
    // Columns are tokens.
    var near = mat4x4f();
    var far = mat4x4f();
    for (var first = 0u; first < weight.chunks; first += 2) {
        let chunk = first + lane % 2;
        var values = mat2x4f();
        var weights = mat2x4f();
        if chunk < weight.chunks {
            values = wide(x[x_start + chunk]);
            weights = weight8(weight_row, chunk);
        }
        // Slower lanes still read what is overwritten.
        workgroupBarrier();
        block_x[target_at] = values[0];
        block_x[target_at + 1] = values[1];
        block_weight[target_at] = weights[0];
        block_weight[target_at + 1] = weights[1];
        workgroupBarrier();
        for (var i = 0u; i < 4; i++) {
            let at = row_at + i;
            let step = BLOCK_STRIDE * BLOCK_PITCH;
            let rows = transpose(mat4x4f(
                block_weight[at],
                block_weight[at + step],
                block_weight[at + 2 * step],
                block_weight[at + 3 * step],
            ));
            near += rows * block_tokens(token_at + i);
            if BLOCK_TOKENS > 32 {
                far += rows * block_tokens(token_at + i + 32 * BLOCK_PITCH);
            }
        }
    }
    let row = lane % BLOCK_STRIDE;
    let token = lane / BLOCK_STRIDE;
    for (var i = 0u; i < 4; i++) {
        block_store(block, token + 8 * i, row, near[i]);
        if BLOCK_TOKENS > 32 {
            block_store(block, token + 8 * i + 32, row, far[i]);
        }
    }
}

// Four columns of four tokens, eight apart.
fn block_tokens(at: u32) -> mat4x4f {
    let step = 8 * BLOCK_PITCH;
    return mat4x4f(block_x[at], block_x[at + step], block_x[at + 2 * step], block_x[at + 3 * step]);
}

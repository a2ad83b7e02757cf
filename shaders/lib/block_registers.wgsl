// Blocks of products of rows of `x` with rows of the weight, in registers: for software adapters.
//
// Needs what `block` needs, but for WORKGROUP_SIZE = 8 and BLOCK_TOKENS = 8 or 16. A lane
// has all tokens and four rows, 8 apart. Software drivers load lane by lane, which takes longer
// than arithmetic and than registers that overflow into memory. Blocks of 32 tokens are a tenth
// faster, but take twice as long to compile.

const BLOCK_STRIDE: u32 = 8;

// Products of eight tokens, which are columns, with the lane's four rows.
struct BlockEight {
    low: mat4x4f,
    high: mat4x4f,
}

// Computes and stores the products of `block`; called by all lanes.
fn block_run(block: Block, lane: u32) {
    let row0 = block_row(block, lane);
    let row1 = block_row(block, lane + BLOCK_STRIDE);
    let row2 = block_row(block, lane + 2 * BLOCK_STRIDE);
    let row3 = block_row(block, lane + 3 * BLOCK_STRIDE);
    let near_rows = eight_rows(block, 0, lane);
    let far_rows = eight_rows(block, BLOCK_TOKENS - 8, lane);
    var near = BlockEight();
    var far = BlockEight();
    for (var chunk = 0u; chunk < weight.chunks; chunk++) {
        let w0 = weight8(row0, chunk);
        let w1 = weight8(row1, chunk);
        let w2 = weight8(row2, chunk);
        let w3 = weight8(row3, chunk);
        let left = transpose(mat4x4f(w0[0], w1[0], w2[0], w3[0]));
        let right = transpose(mat4x4f(w0[1], w1[1], w2[1], w3[1]));
        near = block_sum(near, eight_products(near_rows, chunk, left, right));
        if BLOCK_TOKENS > 8 {
            far = block_sum(far, eight_products(far_rows, chunk, left, right));
        }
    }
    block_store_eight(block, 0, lane, near);
    if BLOCK_TOKENS > 8 {
        block_store_eight(block, 8, lane, far);
    }
}

fn block_sum(a: BlockEight, b: BlockEight) -> BlockEight {
    return BlockEight(a.low + b.low, a.high + b.high);
}

fn block_store_eight(block: Block, first: u32, lane: u32, products: BlockEight) {
    for (var i = 0u; i < 4; i++) {
        block_store(block, first + i, lane, products.low[i]);
        block_store(block, first + i + 4, lane, products.high[i]);
    }
}

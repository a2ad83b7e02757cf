// Products with eight rows of `x`, for `block_registers`.

// Where the rows start, in chunks.
struct EightRows {
    low: vec4u,
    high: vec4u,
}

// The rows at the places from `first` on.
fn eight_rows(block: Block, first: u32, lane: u32) -> EightRows {
    return EightRows(eight_starts(block, first), eight_starts(block, first + 4));
}

fn eight_starts(block: Block, first: u32) -> vec4u {
    return weight.chunks * vec4u(
        block_token(block, first),
        block_token(block, first + 1),
        block_token(block, first + 2),
        block_token(block, first + 3),
    );
}

// Products of a chunk of the rows with the eight columns of `left` and `right`.
fn eight_products(rows: EightRows, chunk: u32, left: mat4x4f, right: mat4x4f) -> BlockEight {
    return BlockEight(
        eight_half(rows.low + chunk, left, right),
        eight_half(rows.high + chunk, left, right),
    );
}

fn eight_half(at: vec4u, left: mat4x4f, right: mat4x4f) -> mat4x4f {
    let x0 = wide(x[at.x]);
    let x1 = wide(x[at.y]);
    let x2 = wide(x[at.z]);
    let x3 = wide(x[at.w]);
    return left * mat4x4f(x0[0], x1[0], x2[0], x3[0]) + right * mat4x4f(x0[1], x1[1], x2[1], x3[1]);
}

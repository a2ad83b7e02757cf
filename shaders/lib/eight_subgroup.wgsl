// Products with eight rows of `x`, for `block_registers`: each is loaded by one lane and handed round.
//
// Needs subgroups of SUBGROUP_SIZE neighbouring lanes, at least four.

// Where the rows start, in chunks, that the lane loads: one of eight, or in subgroups
// of four one of either half.
alias EightRows = vec2u;

// The lane that loads the fifth row.
const EIGHT_FIFTH: u32 = 4 % SUBGROUP_SIZE;

// The rows at the places from `first` on.
fn eight_rows(block: Block, first: u32, lane: u32) -> EightRows {
    let place = first + lane % min(8, SUBGROUP_SIZE);
    return weight.chunks * vec2u(block_token(block, place), block_token(block, place + 4 - EIGHT_FIFTH));
}

// Products of a chunk of the rows with the eight columns of `left` and `right`.
fn eight_products(rows: EightRows, chunk: u32, left: mat4x4f, right: mat4x4f) -> BlockEight {
    let low = wide(x[rows.x + chunk]);
    var high = low;
    if SUBGROUP_SIZE < 8 {
        high = wide(x[rows.y + chunk]);
    }
    return BlockEight(
        left * eight_first(low[0]) + right * eight_first(low[1]),
        left * eight_last(high[0]) + right * eight_last(high[1]),
    );
}

// What the lanes of the first four rows have.
fn eight_first(own: vec4f) -> mat4x4f {
    return mat4x4f(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
    );
}

// What the lanes of the last four rows have.
fn eight_last(own: vec4f) -> mat4x4f {
    return mat4x4f(
        subgroupBroadcast(own, EIGHT_FIFTH),
        subgroupBroadcast(own, EIGHT_FIFTH + 1),
        subgroupBroadcast(own, EIGHT_FIFTH + 2),
        subgroupBroadcast(own, EIGHT_FIFTH + 3),
    );
}

// The row that a product multiplies its weight with: as it is or, with NORMED, its RMSNorm (arXiv 1910.07467).
//
// Needs x: array<Wide>, gain: array<Wide>, params.width and params.epsilon, WORKGROUP_SIZE and LANES.
// The scale of a norm is a factor of the whole product, so the squares are summed while the row is read, and the
// product is scaled at its end: normalising costs no launch and no pass over the row of its own.

override NORMED: u32 = 0;

var<private> input_squares: f32 = 0;

// Eight values of the row, without the norm's scale; `at` is where they lie, `chunk` their place in the row.
fn input8(at: u32, chunk: u32) -> mat2x4f {
    let values = wide(x[at]);
    if NORMED == 0 {
        return values;
    }
    input_squares += dot(values[0], values[0]) + dot(values[1], values[1]);
    let gains = wide(gain[chunk]);
    return mat2x4f(values[0] * gains[0], values[1] * gains[1]);
}

// What the product is to be multiplied with once the whole row was read.
fn input_scale(lane: u32) -> f32 {
    if NORMED == 0 {
        return 1;
    }
    return inverseSqrt(lanes_sum(input_squares, lane) / f32(params.width) + params.epsilon);
}

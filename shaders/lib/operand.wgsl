// Rows of activations as operands of matrix units.

// What a row is multiplied with, and what its products are multiplied with in turn:
// powers of two that bring a sum of magnitudes to between 2^14 and 2^15. The largest value
// of a row then fits into f16 however large the activations are, and what is lost of the
// smallest is nothing beside it.
fn operand_scales(sum_of_magnitudes: f32) -> vec2f {
    // The exponent alone, biased by 127; a row of zeros has some, too.
    let exponent = max(bitcast<u32>(sum_of_magnitudes) >> 23 & 0xff, 27);
    return bitcast<vec2f>(vec2u(2 * 127 + 14 - exponent, exponent - 14) << vec2u(23));
}

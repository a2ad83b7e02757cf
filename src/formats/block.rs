//! What the formats share whose blocks have a scale. Knows no format.

use half::f16;

/// Of finite `values`, one with the largest magnitude.
pub(super) fn largest(values: &[f32]) -> f32 {
    // With the sign moved behind the magnitude, floats compare like their bits, and,
    // unlike comparisons of floats, that is vectorised.
    let key = |value: &f32| value.to_bits().rotate_left(1);
    let largest = values
        .iter()
        .fold(0, |largest, value| key(value).max(largest));
    f32::from_bits(largest.rotate_right(1))
}

/// The whole number nearest to `value`, in two's complement.
pub(super) fn whole_number(value: f32) -> u8 {
    // The bits of a number near 1.5 * 2^23 count whole numbers, so that the addition
    // rounds; a call of `round` per weight would take most of the time of packing.
    (value + 12_582_912.0).to_bits() as u8
}

/// The nearest f16, but never infinite.
pub(super) fn to_scale(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// The scales of a plane.
pub(super) fn to_scales(plane: &[u8]) -> impl Iterator<Item = f32> {
    plane
        .chunks_exact(2)
        .map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32())
}

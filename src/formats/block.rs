//! What formats share. Knows none of them.

use half::f16;

use super::Ggml;

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

/// Plain numbers of `bytes` bytes, whose only plane is the file's bytes.
pub(super) const fn plain(id: u32, bytes: usize) -> Ggml {
    Ggml {
        id,
        weights: 1,
        bytes,
        halves: &[],
        to_planes: |blocks| vec![blocks.to_vec()],
        to_blocks: |planes| planes[0].to_vec(),
    }
}

/// The blocks of 32 weights of which a GGUF file has, one after the other, `scales` bytes of scales, then
/// numbers: their bytes in the file to one byte string of numbers and one of scales.
pub(super) fn split_blocks(blocks: &[u8], scales: usize, bytes: usize) -> [Vec<u8>; 2] {
    let mut planes = [Vec::new(), Vec::new()];
    for block in blocks.chunks_exact(bytes) {
        planes[1].extend(&block[..scales]);
        planes[0].extend(&block[scales..]);
    }
    planes
}

/// Nibbles as GGUF files have them, the second half of a block above the first, to neighbours in one byte.
pub(super) fn neighbours(halves: &[u8]) -> impl Iterator<Item = u8> {
    let nibble = |i: usize| halves[i % halves.len()] >> (4 * (i / halves.len())) & 15;
    (0..halves.len()).map(move |i| nibble(2 * i) | nibble(2 * i + 1) << 4)
}

/// The inverse of [`neighbours`].
pub(super) fn halves(neighbours: &[u8]) -> impl Iterator<Item = u8> {
    let nibble = |i: usize| neighbours[i / 2] >> (4 * (i % 2)) & 15;
    (0..neighbours.len()).map(move |i| nibble(i) | nibble(i + neighbours.len()) << 4)
}

//! What formats share: blocks, planes and the bits of numbers. Knows no format.

use std::array;

use half::f16;

use super::{Format, Ggml};

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

/// The f16 at the start of `bytes`.
pub(super) fn half_at(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Scales of half precision in the file as f32, of which rows have whole words.
pub(super) fn widened(half: &[u8]) -> [u8; 4] {
    half_at(half).to_le_bytes()
}

/// The inverse of [`widened`].
pub(super) fn narrowed(single: &[u8]) -> [u8; 2] {
    f16::from_f32(single_at(single)).to_le_bytes()
}

/// The f32 at the start of `bytes`.
pub(super) fn single_at(bytes: &[u8]) -> f32 {
    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Plain numbers of `bytes` bytes, whose only plane is the file's bytes.
pub(super) const fn plain(id: u32, bytes: usize) -> Ggml {
    Ggml {
        id,
        weights: 1,
        bytes,
        halves: &[],
        exponents: &[],
        to_planes: |blocks| vec![blocks.to_vec()],
        to_blocks: |planes| planes[0].to_vec(),
    }
}

/// The blocks of `values`.
pub(super) fn blocks_of<const BLOCK: usize>(values: &[f32]) -> impl Iterator<Item = [f32; BLOCK]> {
    assert_eq!(
        values.len() % BLOCK,
        0,
        "{} weights are not whole blocks",
        values.len()
    );
    values
        .chunks_exact(BLOCK)
        .map(|block| array::from_fn(|i| block[i]))
}

/// The planes to which `append` adds each of `blocks`.
pub(super) fn planes_of<T, const PLANES: usize>(
    blocks: impl Iterator<Item = T>,
    append: impl Fn(T, &mut [Vec<u8>; PLANES]),
) -> Vec<Vec<u8>> {
    let mut planes = [const { Vec::new() }; PLANES];
    for block in blocks {
        append(block, &mut planes);
    }
    planes.into()
}

/// The blocks of a file, `append`ed one after the other from what they have in the planes of `format`.
pub(super) fn blocks_from<const PLANES: usize>(
    planes: &[&[u8]],
    format: &Format,
    append: impl Fn([&[u8]; PLANES], &mut Vec<u8>),
) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(planes.iter().map(|plane| plane.len()).sum());
    for parts in parts(planes, format) {
        append(parts, &mut blocks);
    }
    blocks
}

/// What each block has in each of the planes of `format`.
pub(super) fn parts<'a, const PLANES: usize>(
    planes: &[&'a [u8]],
    format: &Format,
) -> impl Iterator<Item = [&'a [u8]; PLANES]> {
    let planes: [&[u8]; PLANES] = array::from_fn(|plane| planes[plane]);
    let bytes: [usize; PLANES] = array::from_fn(|plane| format.planes[plane]);
    let part =
        move |plane: usize, block: usize| &planes[plane][block * bytes[plane]..][..bytes[plane]];
    (0..planes[0].len() / bytes[0]).map(move |block| array::from_fn(|plane| part(plane, block)))
}

/// Numbers of `BITS` bits, one behind the other, the first lowest: so that a little-endian word holds
/// neighbours in order.
pub(super) fn numbers<const BITS: usize, const COUNT: usize>(bytes: &[u8]) -> [u8; COUNT] {
    array::from_fn(|i| bytes[i * BITS / 8] >> (i * BITS % 8) & ((1 << BITS) - 1))
}

/// The inverse of [`numbers`]; higher bits are dropped.
pub(super) fn joined<const BITS: usize, const COUNT: usize>(
    numbers: [u8; COUNT],
) -> impl Iterator<Item = u8> {
    let number = move |i: usize| numbers[i] & ((1 << BITS) - 1);
    let byte = move |at: usize| {
        (0..8 / BITS).fold(0, |byte, i| byte | number(at * 8 / BITS + i) << (i * BITS))
    };
    (0..COUNT * BITS / 8).map(byte)
}

/// Numbers of `BITS` bits as GGUF files have them to neighbours behind each other, as [`numbers`] reads
/// them: of every `WIDTH` bytes, files have the lowest bits first, then the next ones.
pub(super) fn from_stripes<const BITS: usize, const WIDTH: usize>(bytes: &[u8], to: &mut Vec<u8>) {
    for stripes in bytes.chunks_exact(WIDTH) {
        let number = |i: usize| stripes[i % WIDTH] >> (i / WIDTH * BITS) & ((1 << BITS) - 1);
        to.extend::<[u8; WIDTH]>(array::from_fn(|at| {
            let number = |i: usize| number(at * 8 / BITS + i) << (i * BITS);
            (0..8 / BITS).fold(0, |byte, i| byte | number(i))
        }));
    }
}

/// The inverse of [`from_stripes`].
pub(super) fn to_stripes<const BITS: usize, const WIDTH: usize>(bytes: &[u8], to: &mut Vec<u8>) {
    for neighbours in bytes.chunks_exact(WIDTH) {
        let number = |i: usize| neighbours[i * BITS / 8] >> (i * BITS % 8) & ((1 << BITS) - 1);
        to.extend::<[u8; WIDTH]>(array::from_fn(|at| {
            let number = |i: usize| number(i * WIDTH + at) << (i * BITS);
            (0..8 / BITS).fold(0, |byte, i| byte | number(i))
        }));
    }
}

/// Numbers whose lower `LOW` bits are in one plane, and whose upper ones, `HIGH` of them, are in another.
pub(super) fn two_part_numbers<const LOW: usize, const HIGH: usize, const COUNT: usize>(
    low: &[u8],
    high: &[u8],
) -> [u8; COUNT] {
    let (low, high) = (numbers::<LOW, COUNT>(low), numbers::<HIGH, COUNT>(high));
    array::from_fn(|i| low[i] | high[i] << LOW)
}

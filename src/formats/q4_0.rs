//! Blocks of 32 numbers of 4 bits that share one scale.

use half::f16;

use super::block::{
    blocks_from, blocks_of, from_stripes, half_at, joined, largest, numbers, parts, planes_of,
    to_scale, to_stripes, whole_number,
};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// The least scale that is used. Below it f16 is so coarse that rounding a scale moves
/// 8 steps of it by half a step or more, and packing again would give other bytes.
const LEAST_SCALE: f32 = 1.0 / 1_048_576.0;

/// 4.5 bits a weight: a block is within an eighth of its largest magnitude.
///
/// The weight of largest magnitude is -8 steps of the scale, which has the opposite
/// sign, so that it is kept well and the sixteenth number is of use.
pub static Q4_0: Format = Format {
    name: "q4_0",
    wgsl: crate::wgsl!("formats/q4_0"),
    block: BLOCK,
    planes: &[BLOCK / 2, size_of::<f16>()],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 2,
        weights: BLOCK,
        bytes: 18,
        halves: &[0],
        exponents: &[],
        to_planes: nibbles_to_planes,
        to_blocks: nibbles_to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, scales]| {
        let scale = scale(&block);
        let inverse = scale.to_f32().recip();
        let number = |value: f32| whole_number((value * inverse).clamp(-8.0, 7.0) + 8.0);
        numbers.extend(joined::<4, BLOCK>(block.map(number)));
        scales.extend(scale.to_le_bytes());
    })
}

fn scale(block: &[f32]) -> f16 {
    let largest = largest(block);
    // Within 7 steps of the least scale either sign will do, and one that depends on
    // the weights could change when they are packed again.
    if largest.abs() < 7.5 * LEAST_SCALE {
        to_scale(LEAST_SCALE)
    } else {
        to_scale(largest / -8.0)
    }
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scale]: [&[u8]; 2]| {
        let scale = half_at(scale);
        numbers::<4, BLOCK>(bytes).map(|number| (f32::from(number) - 8.0) * scale)
    };
    parts(planes, &Q4_0).flat_map(weights).collect()
}

/// Blocks of a scale and 32 nibbles.
pub(super) fn nibbles_to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(blocks.chunks_exact(18), |block, [numbers, scales]| {
        scales.extend(&block[..2]);
        from_stripes::<4, 16>(&block[2..], numbers);
    })
}

/// The inverse of [`nibbles_to_planes`].
pub(super) fn nibbles_to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q4_0, |[numbers, scale], blocks| {
        blocks.extend(scale);
        to_stripes::<4, 16>(numbers, blocks);
    })
}

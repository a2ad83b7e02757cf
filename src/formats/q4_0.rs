//! Blocks of 32 numbers of 4 bits that share one scale.

use half::f16;

use super::block::{halves, largest, neighbours, split_blocks, to_scale, to_scales, whole_number};
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
    wgsl: include_str!("../../shaders/formats/q4_0.wgsl"),
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
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    assert_eq!(
        values.len() % BLOCK,
        0,
        "{} weights are not whole blocks",
        values.len()
    );
    let mut bytes = Vec::with_capacity(values.len() / 2);
    let mut scales = Vec::with_capacity(values.len() / BLOCK * size_of::<f16>());
    for block in values.chunks_exact(BLOCK) {
        let scale = scale(block);
        let inverse = scale.to_f32().recip();
        let number = |value: f32| whole_number((value * inverse).clamp(-8.0, 7.0) + 8.0) & 15;
        // The first of two neighbours goes to the lower half of their byte, so that a
        // little-endian word holds eight of them in order.
        let byte = |pair: &[f32]| number(pair[0]) | number(pair[1]) << 4;
        bytes.extend(block.chunks_exact(2).map(byte));
        scales.extend(scale.to_le_bytes());
    }
    vec![bytes, scales]
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
    let blocks = planes[0].chunks_exact(BLOCK / 2).zip(to_scales(planes[1]));
    let weights = |(block, scale): (&[u8], f32)| -> [f32; BLOCK] {
        let number = |i: usize| i16::from(block[i / 2] >> (4 * (i % 2)) & 15) - 8;
        std::array::from_fn(|i| f32::from(number(i)) * scale)
    };
    blocks.flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    let [numbers, scales] = split_blocks(blocks, 2, 18);
    let numbers = numbers.chunks_exact(BLOCK / 2).flat_map(neighbours);
    vec![numbers.collect(), scales]
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    let blocks = planes[0]
        .chunks_exact(BLOCK / 2)
        .zip(planes[1].chunks_exact(2));
    let block = |(numbers, scale): (&[u8], &[u8])| -> Vec<u8> {
        scale.iter().copied().chain(halves(numbers)).collect()
    };
    blocks.flat_map(block).collect()
}

//! Blocks of 32 numbers of 5 bits that share a scale and an offset.

use super::block::{
    blocks_from, blocks_of, from_stripes, half_at, joined, parts, planes_of, to_stripes,
    two_part_numbers,
};
use super::search::with_offset;
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// 6 bits a weight: a block is within a 62nd of its range.
pub static Q5_1: Format = Format {
    name: "q5_1",
    wgsl: crate::wgsl!("formats/q5_1"),
    block: BLOCK,
    planes: &[BLOCK / 2, BLOCK / 8, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 7,
        weights: BLOCK,
        bytes: 24,
        halves: &[0, 2],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [low, high, scales]| {
        let (scale_and_offset, numbers) = with_offset(&block, 31.0);
        scales.extend(scale_and_offset.map(half::f16::to_le_bytes).concat());
        low.extend(joined::<4, BLOCK>(numbers));
        high.extend(joined::<1, BLOCK>(numbers.map(|number| number >> 4)));
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[low, high, scales]: [&[u8]; 3]| {
        let [scale, offset] = [half_at(scales), half_at(&scales[2..])];
        let numbers = two_part_numbers::<4, 1, BLOCK>(low, high);
        numbers.map(|number| f32::from(number) * scale + offset)
    };
    parts(planes, &Q5_1).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(blocks.chunks_exact(24), |block, [low, high, scales]| {
        scales.extend(&block[..4]);
        high.extend(&block[4..8]);
        from_stripes::<4, 16>(&block[8..], low);
    })
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q5_1, |[low, high, scales], blocks| {
        blocks.extend(scales);
        blocks.extend(high);
        to_stripes::<4, 16>(low, blocks);
    })
}

//! Blocks of 32 numbers of 5 bits that share one scale.

use super::block::{
    blocks_from, blocks_of, from_stripes, half_at, joined, parts, planes_of, to_stripes,
    two_part_numbers,
};
use super::search::{Whole, with_scale};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// 5.5 bits a weight: a block is within a 32nd of its largest magnitude.
pub static Q5_0: Format = Format {
    name: "q5_0",
    wgsl: crate::wgsl!("formats/q5_0"),
    block: BLOCK,
    planes: &[BLOCK / 2, BLOCK / 8, 2],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 6,
        weights: BLOCK,
        bytes: 22,
        halves: &[0],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [low, high, scales]| {
        let (scale, levels) = with_scale::<Whole<-16, 15>, BLOCK>(&block);
        let numbers = levels.map(|level| (level + 16.0) as u8);
        scales.extend(scale.to_le_bytes());
        low.extend(joined::<4, BLOCK>(numbers));
        high.extend(joined::<1, BLOCK>(numbers.map(|number| number >> 4)));
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[low, high, scales]: [&[u8]; 3]| {
        let scale = half_at(scales);
        let numbers = two_part_numbers::<4, 1, BLOCK>(low, high);
        numbers.map(|number| (f32::from(number) - 16.0) * scale)
    };
    parts(planes, &Q5_0).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(blocks.chunks_exact(22), |block, [low, high, scales]| {
        scales.extend(&block[..2]);
        high.extend(&block[2..6]);
        from_stripes::<4, 16>(&block[6..], low);
    })
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q5_0, |[low, high, scale], blocks| {
        blocks.extend(scale);
        blocks.extend(high);
        to_stripes::<4, 16>(low, blocks);
    })
}

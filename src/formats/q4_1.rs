//! Blocks of 32 numbers of 4 bits that share a scale and an offset.

use super::block::{
    blocks_from, blocks_of, from_stripes, half_at, joined, numbers, parts, planes_of, to_stripes,
};
use super::search::with_offset;
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// 5 bits a weight: a block is within a thirtieth of its range.
pub static Q4_1: Format = Format {
    name: "q4_1",
    wgsl: crate::wgsl!("formats/q4_1"),
    block: BLOCK,
    planes: &[BLOCK / 2, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 3,
        weights: BLOCK,
        bytes: 20,
        halves: &[0, 2],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, scales]| {
        let (scale_and_offset, found) = with_offset(&block, 15.0);
        numbers.extend(joined::<4, BLOCK>(found));
        scales.extend(scale_and_offset.map(half::f16::to_le_bytes).concat());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scales]: [&[u8]; 2]| {
        let [scale, offset] = [half_at(scales), half_at(&scales[2..])];
        numbers::<4, BLOCK>(bytes).map(|number| f32::from(number) * scale + offset)
    };
    parts(planes, &Q4_1).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(blocks.chunks_exact(20), |block, [numbers, scales]| {
        scales.extend(&block[..4]);
        from_stripes::<4, 16>(&block[4..], numbers);
    })
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q4_1, |[numbers, scales], blocks| {
        blocks.extend(scales);
        to_stripes::<4, 16>(numbers, blocks);
    })
}

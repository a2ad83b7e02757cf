//! Blocks of 256 numbers of 2 bits; every 16 have a scale and an offset of 4 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, numbers, parts, planes_of, to_stripes,
};
use super::k_blocks::{BLOCK, Offset, unpack_offset};
use super::{Format, Ggml};

/// 2.6 bits a weight: four values for every 16 weights.
pub static Q2_K: Format = Format {
    name: "q2_k",
    wgsl: crate::wgsl!("formats/q2_k"),
    block: BLOCK,
    planes: &[BLOCK / 4, 16, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 10,
        weights: BLOCK,
        bytes: 84,
        halves: &[80, 82],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [numbers, scales, steps]| {
        let found = Offset::<16>::of::<16>(&block, 3.0, 15.0);
        numbers.extend(joined::<2, BLOCK>(found.numbers));
        scales.extend(found.scales.map(|[scale, offset]| scale | offset << 4));
        steps.extend(found.steps.map(half::f16::to_le_bytes).concat());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scales, steps]: [&[u8]; 3]| {
        unpack_offset(&numbers::<2, BLOCK>(bytes), numbers::<4, 32>(scales), steps)
    };
    parts(planes, &Q2_K).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(84),
        |block, [numbers, scales, steps]| {
            scales.extend(&block[..16]);
            from_stripes::<2, 32>(&block[16..80], numbers);
            steps.extend(&block[80..]);
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q2_K, |[numbers, scales, steps], blocks| {
        blocks.extend(scales);
        to_stripes::<2, 32>(numbers, blocks);
        blocks.extend(steps);
    })
}

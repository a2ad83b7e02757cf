//! Blocks of 256 numbers of 5 bits; every 32 have a scale and an offset of 6 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, parts, planes_of, to_stripes, two_part_numbers,
};
use super::k_blocks::{BLOCK, Offset, from_six_bits, to_six_bits, unpack_offset};
use super::{Format, Ggml};

/// 5.5 bits a weight: as `q5_1`, but for scales that are packed, too.
pub static Q5_K: Format = Format {
    name: "q5_k",
    wgsl: crate::wgsl!("formats/q5_k"),
    block: BLOCK,
    planes: &[BLOCK / 2, BLOCK / 8, 16, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 13,
        weights: BLOCK,
        bytes: 176,
        halves: &[0, 2],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [low, high, scales, steps]| {
        let found = Offset::<8>::of::<32>(&block, 31.0, 63.0);
        low.extend(joined::<4, BLOCK>(found.numbers));
        high.extend(joined::<1, BLOCK>(found.numbers.map(|number| number >> 4)));
        scales.extend(found.scales.concat());
        steps.extend(found.steps.map(half::f16::to_le_bytes).concat());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[low, high, scales, steps]: [&[u8]; 4]| {
        let scales: [u8; 16] = std::array::from_fn(|i| scales[i]);
        unpack_offset(&two_part_numbers::<4, 1, BLOCK>(low, high), scales, steps)
    };
    parts(planes, &Q5_K).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(176),
        |block, [low, high, scales, steps]| {
            steps.extend(&block[..4]);
            scales.extend(from_six_bits(&block[4..16]));
            from_stripes::<1, 32>(&block[16..48], high);
            from_stripes::<4, 32>(&block[48..], low);
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q5_K, |[low, high, scales, steps], blocks| {
        blocks.extend(steps);
        blocks.extend(to_six_bits(scales));
        to_stripes::<1, 32>(high, blocks);
        to_stripes::<4, 32>(low, blocks);
    })
}

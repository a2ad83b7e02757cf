//! Blocks of 256 numbers of 4 bits; every 32 have a scale and an offset of 6 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, numbers, parts, planes_of, to_stripes,
};
use super::k_blocks::{BLOCK, Offset, from_six_bits, to_six_bits, unpack_offset};
use super::{Format, Ggml};

/// 4.5 bits a weight: as `q4_1`, but for scales that are packed, too.
pub static Q4_K: Format = Format {
    name: "q4_k",
    wgsl: crate::wgsl!("formats/q4_k"),
    block: BLOCK,
    planes: &[BLOCK / 2, 16, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 12,
        weights: BLOCK,
        bytes: 144,
        halves: &[0, 2],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [numbers, scales, steps]| {
        let found = Offset::<8>::of::<32>(&block, 15.0, 63.0);
        numbers.extend(joined::<4, BLOCK>(found.numbers));
        scales.extend(found.scales.concat());
        steps.extend(found.steps.map(half::f16::to_le_bytes).concat());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scales, steps]: [&[u8]; 3]| {
        let scales: [u8; 16] = std::array::from_fn(|i| scales[i]);
        unpack_offset(&numbers::<4, BLOCK>(bytes), scales, steps)
    };
    parts(planes, &Q4_K).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(144),
        |block, [numbers, scales, steps]| {
            steps.extend(&block[..4]);
            scales.extend(from_six_bits(&block[4..16]));
            from_stripes::<4, 32>(&block[16..], numbers);
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q4_K, |[numbers, scales, steps], blocks| {
        blocks.extend(steps);
        blocks.extend(to_six_bits(scales));
        to_stripes::<4, 32>(numbers, blocks);
    })
}

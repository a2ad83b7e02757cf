//! Blocks of 256 numbers of 6 bits; every 16 have a scale of 8 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, narrowed, parts, planes_of, to_stripes,
    two_part_numbers, widened,
};
use super::k_blocks::{BLOCK, Scaled, unpack_scaled};
use super::search::Whole;
use super::{Format, Ggml};

/// 6.6 bits a weight: a part is within a 64th of its largest magnitude.
pub static Q6_K: Format = Format {
    name: "q6_k",
    wgsl: crate::wgsl!("formats/q6_k"),
    block: BLOCK,
    planes: &[BLOCK / 2, BLOCK / 4, 16, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 14,
        weights: BLOCK,
        bytes: 210,
        halves: &[208],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [low, high, scales, steps]| {
        let found = Scaled::<16>::of::<Whole<-32, 31>, 16>(&block, 128.0);
        let numbers = found.levels.map(|level| (level + 32.0) as u8);
        low.extend(joined::<4, BLOCK>(numbers));
        high.extend(joined::<2, BLOCK>(numbers.map(|number| number >> 4)));
        scales.extend(found.scales.map(i8::cast_unsigned));
        steps.extend(widened(&found.step.to_le_bytes()));
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[low, high, scales, step]: [&[u8]; 4]| {
        let numbers = two_part_numbers::<4, 2, BLOCK>(low, high);
        unpack_scaled(
            &numbers.map(|number| f32::from(number) - 32.0),
            scales,
            step,
        )
    };
    parts(planes, &Q6_K).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(210),
        |block, [low, high, scales, steps]| {
            from_stripes::<4, 64>(&block[..128], low);
            from_stripes::<2, 32>(&block[128..192], high);
            scales.extend(&block[192..208]);
            steps.extend(widened(&block[208..]));
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q6_K, |[low, high, scales, step], blocks| {
        to_stripes::<4, 64>(low, blocks);
        to_stripes::<2, 32>(high, blocks);
        blocks.extend(scales);
        blocks.extend(narrowed(step));
    })
}

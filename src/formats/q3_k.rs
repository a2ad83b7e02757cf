//! Blocks of 256 numbers of 3 bits; every 16 have a scale of 6 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, narrowed, parts, planes_of, to_stripes,
    two_part_numbers, widened,
};
use super::k_blocks::{BLOCK, Scaled, unpack_scaled};
use super::search::Whole;
use super::{Format, Ggml};

/// 3.4 bits a weight: a part is within an eighth of its largest magnitude.
pub static Q3_K: Format = Format {
    name: "q3_k",
    wgsl: crate::wgsl!("formats/q3_k"),
    block: BLOCK,
    planes: &[BLOCK / 4, BLOCK / 8, 16, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 11,
        weights: BLOCK,
        bytes: 110,
        halves: &[108],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [low, high, scales, steps]| {
        let found = Scaled::<16>::of::<Whole<-4, 3>, 16>(&block, 32.0);
        let numbers = found.levels.map(|level| (level + 4.0) as u8);
        low.extend(joined::<2, BLOCK>(numbers));
        high.extend(joined::<1, BLOCK>(numbers.map(|number| number >> 2)));
        scales.extend(found.scales.map(i8::cast_unsigned));
        steps.extend(widened(&found.step.to_le_bytes()));
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[low, high, scales, step]: [&[u8]; 4]| {
        let numbers = two_part_numbers::<2, 1, BLOCK>(low, high);
        unpack_scaled(&numbers.map(|number| f32::from(number) - 4.0), scales, step)
    };
    parts(planes, &Q3_K).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(110),
        |block, [low, high, scales, steps]| {
            from_stripes::<1, 32>(&block[..32], high);
            from_stripes::<2, 32>(&block[32..96], low);
            scales.extend(from_six_bits(&block[96..108]));
            steps.extend(widened(&block[108..]));
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &Q3_K, |[low, high, scales, step], blocks| {
        to_stripes::<1, 32>(high, blocks);
        to_stripes::<2, 32>(low, blocks);
        blocks.extend(to_six_bits(scales));
        blocks.extend(narrowed(step));
    })
}

/// Sixteen scales: of all the lower four bits, then of all the upper two, and 32 more than they are.
fn from_six_bits(bytes: &[u8]) -> [u8; 16] {
    let lower = |part: usize| bytes[part % 8] >> (part / 8 * 4) & 15;
    let upper = |part: usize| bytes[8 + part % 4] >> (part / 4 * 2) & 3;
    std::array::from_fn(|part| (lower(part) | upper(part) << 4).wrapping_sub(32))
}

/// The inverse of [`from_six_bits`].
fn to_six_bits(scales: &[u8]) -> [u8; 12] {
    let stored = |part: usize| scales[part].wrapping_add(32);
    let upper = |part: usize| {
        (0..4)
            .map(move |i| stored(part + 4 * i) >> 4 << (2 * i))
            .sum::<u8>()
    };
    std::array::from_fn(|i| match i {
        0..8 => stored(i) & 15 | stored(i + 8) << 4,
        _ => upper(i - 8),
    })
}

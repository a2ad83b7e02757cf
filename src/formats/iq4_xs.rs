//! Blocks of 256 numbers of 4 bits for values of a table; every 32 have a scale of 6 bits.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, narrowed, numbers, parts, planes_of, to_stripes,
    two_part_numbers, widened,
};
use super::iq4_nl::Table;
use super::k_blocks::{BLOCK, Scaled, unpack_scaled};
use super::{Format, Ggml};

/// 4.25 bits a weight: values as in `iq4_nl`, but for scales that are packed, too.
pub static IQ4_XS: Format = Format {
    name: "iq4_xs",
    wgsl: crate::wgsl!("formats/iq4_xs"),
    block: BLOCK,
    planes: &[BLOCK / 2, 8, 4],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 23,
        weights: BLOCK,
        bytes: 136,
        halves: &[0],
        exponents: &[],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of(values), |block, [numbers, scales, steps]| {
        let found = Scaled::<8>::of::<Table, 32>(&block, 32.0);
        numbers.extend(joined::<4, BLOCK>(found.levels.map(Table::number)));
        scales.extend(found.scales.map(i8::cast_unsigned));
        steps.extend(widened(&found.step.to_le_bytes()));
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scales, step]: [&[u8]; 3]| {
        unpack_scaled(&numbers::<4, BLOCK>(bytes).map(Table::level), scales, step)
    };
    parts(planes, &IQ4_XS).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(
        blocks.chunks_exact(136),
        |block, [numbers, scales, steps]| {
            steps.extend(widened(&block[..2]));
            scales.extend(from_six_bits(&block[2..8]));
            from_stripes::<4, 16>(&block[8..], numbers);
        },
    )
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &IQ4_XS, |[numbers, scales, step], blocks| {
        blocks.extend(narrowed(step));
        blocks.extend(to_six_bits(scales));
        to_stripes::<4, 16>(numbers, blocks);
    })
}

/// Eight scales: of all the upper two bits, then of all the lower four, and 32 more than they are.
fn from_six_bits(bytes: &[u8]) -> [u8; 8] {
    two_part_numbers::<4, 2, 8>(&bytes[2..], bytes).map(|scale| scale.wrapping_sub(32))
}

/// The inverse of [`from_six_bits`].
fn to_six_bits(scales: &[u8]) -> impl Iterator<Item = u8> {
    let stored: [u8; 8] = std::array::from_fn(|i| scales[i].wrapping_add(32));
    joined::<2, 8>(stored.map(|scale| scale >> 4)).chain(joined::<4, 8>(stored))
}

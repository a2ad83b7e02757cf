//! Blocks of 32 numbers in FP4 E2M1 that share a power of two.

use super::block::{
    blocks_from, blocks_of, from_stripes, joined, largest, numbers, parts, planes_of, to_stripes,
};
use super::search::{error, nearest_of};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// Twice what the numbers stand for.
const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The same, ascending.
const LEVELS: [i8; 15] = [-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12];

/// 4.25 bits a weight: within a quarter of each, and of an eighth of a block's largest magnitude.
pub static MXFP4: Format = Format {
    name: "mxfp4",
    wgsl: crate::wgsl!("formats/mxfp4"),
    block: BLOCK,
    planes: &[BLOCK / 2, 1],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 39,
        weights: BLOCK,
        bytes: 17,
        halves: &[],
        exponents: &[0],
        to_planes,
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, exponents]| {
        // The largest weight is 4 to 8 times this power of two, and the largest number is 6.
        let middle = (largest(&block).abs().to_bits() >> 23).saturating_sub(2);
        let mut best = (0, [0.0; BLOCK]);
        let mut least = f32::INFINITY;
        for (exponent, square) in [(middle, 1.0), (middle + 1, 4.0), (middle.max(1) - 1, 0.25)] {
            // Half of it and twice its inverse are f32, and six times it is.
            let exponent = exponent.clamp(2, 252);
            let inverse = f32::from_bits((255 - exponent) << 23);
            let scaled = block.map(|value| value * inverse);
            let levels = nearest_of(&LEVELS, &scaled);
            let error = square * error(&scaled, &levels);
            if error < least {
                (least, best) = (error, (exponent, levels));
            }
        }
        let number = |level: f32| DOUBLED.iter().position(|&doubled| doubled == level as i8);
        let found = best.1.map(|level| number(level).unwrap_or(0) as u8);
        numbers.extend(joined::<4, BLOCK>(found));
        exponents.push(best.0 as u8);
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, exponent]: [&[u8]; 2]| {
        // Half the scale, which can be too small for an f32 where its products are not.
        let scale = f64::from_bits((u64::from(exponent[0]) + 1023 - 128) << 52);
        numbers::<4, BLOCK>(bytes)
            .map(|number| (f64::from(DOUBLED[usize::from(number)]) * scale) as f32)
    };
    parts(planes, &MXFP4).flat_map(weights).collect()
}

fn to_planes(blocks: &[u8]) -> Vec<Vec<u8>> {
    planes_of(blocks.chunks_exact(17), |block, [numbers, exponents]| {
        exponents.push(block[0]);
        from_stripes::<4, 16>(&block[1..], numbers);
    })
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    blocks_from(planes, &MXFP4, |[numbers, exponent], blocks| {
        blocks.extend(exponent);
        to_stripes::<4, 16>(numbers, blocks);
    })
}

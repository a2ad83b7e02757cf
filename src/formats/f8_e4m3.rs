//! FP8 E4M3 with a scale for each 128 or 32 neighbours of a row.

use super::Format;
use super::block::{blocks_of, largest, planes_of, single_at};

/// The largest finite number.
const LARGEST: f32 = 448.0;

/// 8.25 bits a weight: the blocks of DeepSeek-V3, whose rows repeat their scales.
pub static F8_E4M3: Format = Format {
    name: "f8_e4m3",
    wgsl: crate::wgsl!("formats/f8_e4m3"),
    block: 128,
    planes: &[128, size_of::<f32>()],
    pack: pack::<128>,
    unpack: unpack::<128>,
    stored: None,
    ggml: None,
};

/// 9 bits a weight: smaller blocks.
pub static F8_E4M3_32: Format = Format {
    name: "f8_e4m3_32",
    wgsl: crate::wgsl!("formats/f8_e4m3_32"),
    block: 32,
    planes: &[32, size_of::<f32>()],
    pack: pack::<32>,
    unpack: unpack::<32>,
    stored: None,
    ggml: None,
};

/// The number that a byte stands for: a sign, 4 bits of exponent with bias 7 and 3 of mantissa. There
/// are no infinities; the two bytes with all other bits set are NaN.
#[must_use]
pub fn from_e4m3(byte: u8) -> f32 {
    let magnitude = u32::from(byte & 0x7f);
    let value = match magnitude {
        0x7f => f32::NAN,
        0..8 => magnitude as f32 / 512.0,
        // The exponent of f32 is biased by 120 more, and its mantissa has 20 bits more.
        _ => f32::from_bits((magnitude << 20) + (120 << 23)),
    };
    if byte & 0x80 == 0 { value } else { -value }
}

/// The byte of the nearest number, ties to even; beyond the largest, that one.
#[must_use]
pub fn to_e4m3(value: f32) -> u8 {
    let sign = u8::from(value.is_sign_negative()) << 7;
    let magnitude = value.abs().min(LARGEST);
    if magnitude.is_nan() {
        return sign | 0x7f;
    }
    // Below 2^-6 numbers are 2^-9 apart.
    let byte = if magnitude < 1.0 / 64.0 {
        (magnitude * 512.0).round_ties_even() as u32
    } else {
        let bits = magnitude.to_bits() - (120 << 23);
        let rest = bits & 0xf_ffff;
        let down = bits >> 20;
        down + u32::from(rest > 0x8_0000 || rest == 0x8_0000 && down % 2 == 1)
    };
    sign | byte as u8
}

fn pack<const BLOCK: usize>(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, scales]| {
        let scale = largest(&block).abs().min(f32::MAX) / LARGEST;
        // A block of zeros, and one whose scale would be no normal number.
        let scale = if scale.is_normal() { scale } else { 1.0 };
        numbers.extend(block.map(|value| to_e4m3(value / scale)));
        scales.extend(scale.to_le_bytes());
    })
}

fn unpack<const BLOCK: usize>(planes: &[&[u8]]) -> Vec<f32> {
    let blocks = planes[0].chunks_exact(BLOCK);
    let blocks = blocks.zip(planes[1].chunks_exact(4));
    let weights = |(numbers, scale): (&[u8], &[u8])| -> [f32; BLOCK] {
        let scale = single_at(scale);
        std::array::from_fn(|i| from_e4m3(numbers[i]) * scale)
    };
    blocks.flat_map(weights).collect()
}

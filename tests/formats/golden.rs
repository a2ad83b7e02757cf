//! Formats against what others make of the same bits.

use tiefsee::formats::{ALL, from_e4m3, to_e4m3};

use crate::golden_blocks::GoldenBlocks;
use crate::{assert_same, unpack};

#[test]
fn golden_blocks_decode_to_the_bit() {
    for golden in GoldenBlocks::all() {
        let ggml = golden.ggml();
        assert_eq!(
            golden.blocks.len() / ggml.bytes * ggml.weights,
            golden.values.len()
        );
        println!("{}", golden.format.name);
        assert_same(&unpack(golden.format, &golden.planes()), &golden.values);
    }
}

#[test]
fn planes_lose_nothing_of_blocks() {
    for golden in GoldenBlocks::all() {
        let (ggml, planes) = (golden.ggml(), golden.planes());
        let sizes: Vec<usize> = planes.iter().map(Vec::len).collect();
        let count = golden.blocks.len() / ggml.bytes;
        let expected: Vec<usize> = golden
            .format
            .planes
            .iter()
            .map(|bytes| count * bytes)
            .collect();
        assert_eq!(sizes, expected, "{}", golden.format.name);
        let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
        assert_eq!(
            (ggml.to_blocks)(&planes),
            golden.blocks,
            "{}",
            golden.format.name
        );
    }
}

#[test]
fn every_e4m3_is_what_it_should_be() {
    for (byte, expected) in [
        (0x00, 0.0),
        (0x01, 0.001_953_125),
        (0x07, 0.013_671_875),
        (0x08, 0.015_625),
        (0x38, 1.0),
        (0x39, 1.125),
        (0x3f, 1.875),
        (0x40, 2.0),
        (0x77, 240.0),
        (0x7d, 416.0),
        (0x7e, 448.0),
        (0x80, -0.0),
        (0x81, -0.001_953_125),
        (0xfe, -448.0),
    ] {
        assert_same(&[from_e4m3(byte)], &[expected]);
    }
    for byte in 0..=u8::MAX {
        let value = from_e4m3(byte);
        assert_eq!(value.is_nan(), byte & 0x7f == 0x7f, "{byte:#x}");
        assert!(value.is_nan() || to_e4m3(value) == byte, "{byte:#x}");
    }
}

#[test]
fn e4m3_is_rounded_to_even() {
    for (value, expected) in [
        (1.0625, 1.0),
        (1.1875, 1.25),
        (17.0, 16.0),
        (19.0, 20.0),
        (2f32.powi(-10), 0.0),
        (3.0 * 2f32.powi(-10), 2f32.powi(-8)),
        (464.0, 448.0),
        (f32::INFINITY, 448.0),
        (-1e9, -448.0),
        (-1e-9, -0.0),
    ] {
        assert_same(&[from_e4m3(to_e4m3(value))], &[expected]);
    }
    // Never further than the neighbours of the result.
    for bits in (0..f32::INFINITY.to_bits()).step_by(9_973) {
        let value = f32::from_bits(bits);
        let byte = to_e4m3(value);
        let distance = |byte: u8| (from_e4m3(byte) - value.min(448.0)).abs();
        let beside = [byte.saturating_sub(1), (byte + 1).min(0x7e)];
        assert!(
            beside
                .iter()
                .all(|&other| distance(byte) <= distance(other)),
            "{value}"
        );
    }
}

#[test]
fn blocks_lose_nothing_of_planes() {
    let values = crate::blocks(256).concat();
    for format in ALL {
        let Some(ggml) = &format.ggml else { continue };
        let planes = (format.pack)(&values);
        let parts: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
        assert!(
            (ggml.to_planes)(&(ggml.to_blocks)(&parts)) == planes,
            "{}",
            format.name
        );
    }
}

//! What kernels read of the bits that files have: the very values, to the bit.

use tiefsee::formats::{F8_E4M3, F8_E4M3_32, Format, MXFP4, from_e4m3};
use tiefsee::gpu::{Gpu, Tensor, WeightWriter};
use tiefsee::ops;

use crate::common::{open, run_f32};
use crate::golden_blocks::GoldenBlocks;

/// The rows of a matrix with these planes.
fn decode(
    gpu: &Gpu,
    format: &'static Format,
    [rows, columns]: [usize; 2],
    planes: &[Vec<u8>],
) -> Vec<f32> {
    run_f32(gpu, |pass| {
        let weight = pollster::block_on(async {
            let mut writer = WeightWriter::new(gpu, format, [1, rows, columns]).await?;
            writer.write_planes(planes).await?;
            Ok::<_, tiefsee::Error>(writer.finish())
        })
        .expect("room for a weight");
        let ids: Vec<u32> = (0..rows as u32).collect();
        ops::embedding(pass, &Tensor::upload(gpu, &[rows], &ids), &weight)
    })
}

#[test]
fn golden_blocks() {
    let gpu = open();
    for golden in GoldenBlocks::all() {
        let weights = golden.ggml().weights;
        let count = golden.values.len() / weights;
        // A row of all blocks, and rows of one each, which some formats pad to whole words.
        for [rows, columns] in [
            [1, count * weights],
            [count, weights],
            [count / 2, 2 * weights],
        ] {
            let actual = decode(&gpu, golden.format, [rows, columns], &golden.planes());
            assert_same(&actual, &golden.values, golden.format.name);
        }
    }
}

#[test]
fn every_e4m3() {
    let gpu = open();
    let is_number = |byte: &u8| !from_e4m3(*byte).is_nan();
    let codes: Vec<u8> = (0..=u8::MAX).filter(is_number).chain([0, 0x80]).collect();
    for format in [&F8_E4M3, &F8_E4M3_32] {
        for scale in [1.0, 0.000_317, -3.7e5] {
            let scales: Vec<f32> = (0..256 / format.block)
                .map(|block| scale * (1 + block) as f32)
                .collect();
            let planes = [codes.clone(), bytemuck::cast_slice(&scales).to_vec()];
            let value = |(i, &byte): (usize, &u8)| from_e4m3(byte) * scales[i / format.block];
            let expected: Vec<f32> = codes.iter().enumerate().map(value).collect();
            let actual = decode(&gpu, format, [1, 256], &planes);
            assert_same(&actual, &expected, format.name);
        }
    }
}

#[test]
fn every_exponent_of_mxfp4() {
    let gpu = open();
    // Of every exponent a block with all numbers, twice.
    let numbers: Vec<u8> = (0..8).map(|i| 32 * i + 16 + 2 * i).collect();
    let planes = [numbers.repeat(2 * 256), (0..=u8::MAX).collect()];
    let expected = (MXFP4.unpack)(&[&planes[0], &planes[1]]);
    let actual = decode(&gpu, &MXFP4, [1, 256 * 32], &planes);
    for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        // Devices may take subnormal numbers for 0; beyond the range anything goes.
        let flushed = *actual == 0.0 && !expected.is_normal();
        assert!(
            actual.to_bits() == expected.to_bits() || flushed || expected.is_infinite(),
            "exponent {}, value {i}: {actual} for {expected}",
            i / 32
        );
    }
}

/// Equal to the bit: -0 is not 0.
fn assert_same(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(
            actual.to_bits(),
            expected.to_bits(),
            "{what}, value {i}: {actual} for {expected}"
        );
    }
}

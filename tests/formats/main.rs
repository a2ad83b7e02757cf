//! Every weight format: packing and unpacking, and that its WGSL is valid.

#[path = "../common/golden_blocks.rs"]
mod golden_blocks;

mod golden;
mod quality;

use half::{bf16, f16};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tiefsee::formats::{ALL, BF16, F8_E4M3, F8_E4M3_32, F16, F32, Format, Q4_0, Q8_0};

use quality::relative_error;

fn unpack(format: &Format, planes: &[Vec<u8>]) -> Vec<f32> {
    let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
    (format.unpack)(&planes)
}

/// Blocks that are hard on a format: each starts with what is given here, with noise
/// of `scale` behind it.
fn blocks(width: usize) -> Vec<Vec<f32>> {
    let mut random = Pcg64::seed_from_u64(7);
    let mut noise = |scale: f32| (random.next_u32() as f32 / 2f32.powi(31) - 1.0) * scale;
    let mut blocks = vec![
        vec![0.0; width],
        vec![-0.0; width],
        vec![f32::MIN_POSITIVE; width],
    ];
    // From far below the least scale to far beyond the largest, in uneven steps.
    for exponent in -500..500 {
        let scale = 2f32.powf(exponent as f32 / 4.0);
        blocks.push((0..width).map(|_| noise(scale)).collect());
        blocks.push(
            (0..width)
                .map(|i| if i == 5 { -scale } else { 0.0 })
                .collect(),
        );
        // Equal magnitudes of both signs.
        blocks.push(
            (0..width)
                .map(|i| if i % 2 == 0 { scale } else { -scale })
                .collect(),
        );
    }
    for outlier in [f32::MAX, f32::MIN, 1e30, -1e9, 1e5] {
        blocks.push(
            (0..width)
                .map(|i| if i == 31 { outlier } else { noise(1.0) })
                .collect(),
        );
    }
    blocks
}

fn largest(block: &[f32]) -> f32 {
    block
        .iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

#[test]
fn names_and_sizes() {
    for &format in ALL {
        for name in [format.name, &format.name.to_uppercase()] {
            assert_eq!(Format::named(name), Some(format));
        }
        assert_eq!(format.block % 8, 0);
        let planes = (format.pack)(&vec![1.0; 3 * format.block]);
        let sizes: Vec<usize> = planes.iter().map(Vec::len).collect();
        let expected: Vec<usize> = format.planes.iter().map(|bytes| 3 * bytes).collect();
        assert_eq!(sizes, expected, "{}", format.name);
        if let Some(ggml) = &format.ggml {
            assert_eq!(Format::of_ggml(ggml.id), Some(format));
            assert_eq!(format.block % ggml.weights, 0);
            assert!(ggml.halves.iter().all(|at| at + 2 <= ggml.bytes));
        }
    }
    assert!(Format::named("q7_0").is_none());
    let bytes = |width| [&F32, &F16, &BF16, &Q8_0, &Q4_0].map(|format| format.row_bytes(width));
    assert_eq!(bytes(0), [0; 5]);
    // Rows of half a word of scales are padded, so that each can be uploaded alone.
    assert_eq!(bytes(1), [32, 16, 16, 68, 36]);
    assert_eq!(bytes(64), [256, 128, 128, 68, 36]);
    assert_eq!(bytes(65), [288, 144, 144, 136, 72]);
}

#[test]
fn every_f16_survives() {
    let halves = (0..=u16::MAX).map(f16::from_bits);
    let finite: Vec<f32> = halves
        .filter(|half| half.is_finite())
        .map(f16::to_f32)
        .collect();
    assert_same(&unpack(&F16, &(F16.pack)(&finite)), &finite);
}

#[test]
fn every_bf16_survives() {
    let halves = (0..=u16::MAX).map(bf16::from_bits);
    let finite: Vec<f32> = halves
        .filter(|half| half.is_finite())
        .map(bf16::to_f32)
        .collect();
    assert_same(&unpack(&BF16, &(BF16.pack)(&finite)), &finite);
}

#[test]
fn every_exponent_of_f32_survives() {
    let bits = (0..=u32::MAX >> 15).map(|upper| upper << 15 | upper & 0x7fff);
    let finite: Vec<f32> = bits
        .map(f32::from_bits)
        .filter(|value| value.is_finite())
        .collect();
    assert_same(&unpack(&F32, &(F32.pack)(&finite)), &finite);
}

/// Equal to the bit: -0 is not 0.
fn assert_same(actual: &[f32], expected: &[f32]) {
    let different = actual
        .iter()
        .zip(expected)
        .position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!((different, actual.len()), (None, expected.len()));
}

#[test]
fn halves_are_rounded_to_even_and_stay_finite() {
    let values = [
        1.0 + 1.0 / 2048.0,
        1.0 + 3.0 / 2048.0,
        65_520.0,
        -1e30,
        1e-9,
        2f32.powi(-25),
        0.0,
    ];
    let least = 2f32.powi(-24);
    let expected = [1.0, 1.0 + 4.0 / 2048.0, 65_504.0, -65_504.0, 0.0, 0.0, 0.0];
    assert_same(
        &unpack(&F16, &(F16.pack)(&[&values[..], &[least * 1.5]].concat()))[..7],
        &expected,
    );

    let values = [
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        f32::MAX,
        f32::MIN,
        0.0,
        -0.0,
        1.0,
        2.0,
    ];
    let most = bf16::MAX.to_f32();
    let expected = [1.0, 1.0 + 4.0 / 256.0, most, -most, 0.0, -0.0, 1.0, 2.0];
    assert_same(&unpack(&BF16, &(BF16.pack)(&values)), &expected);
}

#[test]
fn q8_0_errs_by_half_a_step() {
    for block in blocks(32) {
        let planes = (Q8_0.pack)(&block);
        let scale = f16::from_le_bytes([planes[1][0], planes[1][1]]).to_f32();
        let largest = largest(&block);
        // A scale is an f16: not below 2^-17, where f16 is too coarse, nor beyond its end.
        let exact = (largest / 127.0).clamp(2f32.powi(-17), 65_504.0);
        assert!(
            (scale - exact).abs() <= (exact / 2048.0).max(2f32.powi(-25)),
            "{scale} for {exact}"
        );
        for (actual, expected) in unpack(&Q8_0, &planes).iter().zip(&block) {
            let reachable = expected.clamp(-127.0 * scale, 127.0 * scale);
            assert!(
                (actual - reachable).abs() <= 0.5001 * scale,
                "{actual} for {expected}"
            );
        }
    }
}

#[test]
fn q4_0_errs_by_half_a_step() {
    for block in blocks(32) {
        let planes = (Q4_0.pack)(&block);
        let scale = f16::from_le_bytes([planes[1][0], planes[1][1]]).to_f32();
        let largest = largest(&block);
        let exact = (largest / 8.0).clamp(2f32.powi(-20), 65_504.0);
        assert!(
            (scale.abs() - exact).abs() <= (exact / 2048.0).max(2f32.powi(-24)),
            "{scale} for {exact}"
        );
        for (actual, expected) in unpack(&Q4_0, &planes).iter().zip(&block) {
            let (low, high) = if scale > 0.0 {
                (-8.0, 7.0)
            } else {
                (7.0, -8.0)
            };
            let reachable = expected.clamp(low * scale, high * scale);
            assert!(
                (actual - reachable).abs() <= 0.5001 * scale.abs(),
                "{actual} for {expected}"
            );
        }
        let sensible = (1e-3..65_504.0).contains(&largest);
        let kept = unpack(&Q4_0, &planes)
            .iter()
            .zip(&block)
            .any(|(actual, expected)| {
                expected.abs() >= largest && (actual - expected).abs() <= largest / 2000.0
            });
        assert!(kept || !sensible, "the largest of {block:?} is lost");
    }
}

#[test]
fn zeros_stay_zeros() {
    for &format in ALL {
        let zeros = vec![0.0; 4 * format.block];
        assert!(
            unpack(format, &(format.pack)(&zeros))
                .iter()
                .all(|&value| value == 0.0)
        );
    }
}

#[test]
fn packing_again_changes_nothing() {
    let values = blocks(128).concat();
    for format in [&F32, &F16, &BF16, &F8_E4M3, &F8_E4M3_32, &Q8_0, &Q4_0] {
        let packed = (format.pack)(&values);
        let unpacked = unpack(format, &packed);
        assert_eq!(unpacked.len(), values.len());
        let again = (format.pack)(&unpacked);
        for (plane, (first, second)) in packed.iter().zip(&again).enumerate() {
            let different = first.iter().zip(second).position(|(a, b)| a != b);
            assert_eq!(different, None, "{}, plane {plane}", format.name);
        }
    }
}

#[test]
fn blocks_stay_finite_and_are_not_made_worse() {
    for &format in ALL {
        for block in blocks(format.block) {
            let unpacked = unpack(format, &(format.pack)(&block));
            assert!(
                unpacked.iter().all(|value| value.is_finite()),
                "{} of {block:?}",
                format.name
            );
            // Below, f16 is too coarse for scales.
            if largest(&block) > 1e-5 {
                let error = relative_error(&unpacked, &block);
                assert!(error <= 1.0, "{}: {error} of {block:?}", format.name);
            }
        }
    }
}

#[test]
fn blocks_lie_as_the_shaders_read_them() {
    let values: Vec<f32> = (0..32).map(|i| (i % 16 - 8) as f32 * 0.5).collect();
    let planes = (Q4_0.pack)(&values);
    let words: Vec<u32> = planes[0]
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(words, [0x7654_3210, 0xfedc_ba98, 0x7654_3210, 0xfedc_ba98]);
    assert_eq!(planes[1], f16::from_f32(0.5).to_le_bytes());

    let values: Vec<f32> = (0..32).map(|i| (i as f32 - 15.0) * 127.0 / 16.0).collect();
    let planes = (Q8_0.pack)(&values);
    assert_eq!(planes[0][..3], [-119i8, -111, -103].map(i8::cast_unsigned));
    assert_eq!(planes[1], f16::from_f32(1.0).to_le_bytes());
}

#[test]
fn no_packing_panics_whatever_the_weights() {
    for &format in ALL {
        let values: Vec<f32> = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::from_bits(0x7fff_ffff),
        ]
        .into_iter()
        .cycle()
        .take(2 * format.block)
        .collect();
        assert_eq!(unpack(format, &(format.pack)(&values)).len(), values.len());
    }
}

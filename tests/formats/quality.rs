//! How much of the weights the formats keep.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tiefsee::formats::{ALL, Format};

use crate::unpack;

/// Weights as models have them: normally distributed.
fn gaussian(seed: u64) -> Vec<f32> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut uniform = || (random.next_u32() as f64 + 0.5) / 2f64.powi(32);
    let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..1 << 16).map(|_| (0.02 * normal()) as f32).collect()
}

/// The same with one in 64 up to eight times as large.
fn with_outliers(seed: u64) -> Vec<f32> {
    let mut values = gaussian(seed);
    for (i, value) in values.iter_mut().step_by(64).enumerate() {
        *value *= (1 + i % 8) as f32;
    }
    values
}

/// The root of the mean squared error over that of the mean square.
pub(crate) fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    let square = |value: f32| f64::from(value) * f64::from(value);
    let error: f64 = actual
        .iter()
        .zip(expected)
        .map(|(a, b)| square(a - b))
        .sum();
    (error / expected.iter().map(|&value| square(value)).sum::<f64>()).sqrt()
}

fn packed_error(format: &Format, values: &[f32]) -> f64 {
    relative_error(&unpack(format, &(format.pack)(values)), values)
}

/// The largest errors: those when this was written and a twentieth more.
const LARGEST: [(&str, [f64; 2]); 18] = [
    ("f32", [0.0, 0.0]),
    ("f16", [0.000_221, 0.000_221]),
    ("bf16", [0.001_75, 0.001_76]),
    ("f8_e4m3", [0.027_2, 0.024_0]),
    ("f8_e4m3_32", [0.025_2, 0.022_0]),
    ("q8_0", [0.005_59, 0.008_14]),
    ("q4_0", [0.089_8, 0.131]),
    ("q4_1", [0.073_1, 0.085_8]),
    ("q5_0", [0.041_8, 0.063_5]),
    ("q5_1", [0.035_3, 0.041_7]),
    ("q2_k", [0.274, 0.294]),
    ("q3_k", [0.150, 0.188]),
    ("q4_k", [0.073_5, 0.086_8]),
    ("q5_k", [0.036_2, 0.043_1]),
    ("q6_k", [0.017_7, 0.024_0]),
    ("iq4_nl", [0.076_9, 0.099_8]),
    ("iq4_xs", [0.077_4, 0.102]),
    ("mxfp4", [0.117, 0.140]),
];

#[test]
fn weights_are_kept_as_well_as_ever() {
    let kinds = [gaussian(1), with_outliers(2)];
    let names: Vec<_> = ALL.iter().map(|format| format.name).collect();
    assert_eq!(LARGEST.map(|(name, _)| name)[..], names);
    for (name, largest) in LARGEST {
        let errors = kinds
            .each_ref()
            .map(|values| packed_error(named(name), values));
        println!("{name:10} {errors:.5?}");
        for (error, largest) in errors.iter().zip(largest) {
            // Not far below, or the bound is out of date.
            let least = 0.85 * largest;
            assert!(
                (least..=largest).contains(error),
                "{name}: {errors:.5?}, at most {largest}"
            );
        }
    }
}

/// A search may end elsewhere when it starts from what it found.
#[test]
fn packing_again_adds_little_error() {
    for values in [gaussian(7), with_outliers(8)] {
        for format in ALL {
            let first = unpack(format, &(format.pack)(&values));
            let again = unpack(format, &(format.pack)(&first));
            let [first, again] = [first, again].map(|packed| relative_error(&packed, &values));
            assert!(
                again <= 1.05 * first,
                "{}: {again} after {first}",
                format.name
            );
        }
    }
}

#[test]
fn more_bits_keep_more() {
    for values in [gaussian(3), with_outliers(4)] {
        let errors = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0"]
            .map(|name| packed_error(named(name), &values));
        assert!(errors.is_sorted_by(|more, less| more > less), "{errors:?}");
        let [q4_0, q4_1, q5_0, q5_1] =
            ["q4_0", "q4_1", "q5_0", "q5_1"].map(|name| packed_error(named(name), &values));
        assert!(q4_0 > q4_1 && q4_1 > q5_0 && q5_0 > q5_1);
    }
}

/// Parts rounded between their least and largest weights, or to either side of 0 if they have no offset, with
/// scales that are not even packed.
fn plainly_rounded(values: &[f32], width: usize, bits: i32, has_offset: bool) -> Vec<f32> {
    let most = 2f32.powi(bits) - 1.0;
    let part = |part: &[f32]| {
        let fold = |pick: fn(f32, f32) -> f32| part.iter().copied().fold(0.0, pick);
        let (least, largest) = (fold(f32::min), fold(f32::max));
        let (scale, offset) = if has_offset {
            ((largest - least) / most, least)
        } else {
            let magnitude = largest.max(-least);
            (2.0 * magnitude / most, -magnitude)
        };
        let round = |value: &f32| ((value - offset) / scale).round() * scale + offset;
        part.iter().map(round).collect::<Vec<_>>()
    };
    values.chunks(width).flat_map(part).collect()
}

#[test]
fn searching_beats_plain_rounding() {
    for values in [gaussian(5), with_outliers(6)] {
        for (name, width, bits, has_offset) in [
            ("q4_1", 32, 4, true),
            ("q5_0", 32, 5, false),
            ("q5_1", 32, 5, true),
            ("q2_k", 16, 2, true),
            ("q3_k", 16, 3, false),
            ("q4_k", 32, 4, true),
            ("q5_k", 32, 5, true),
            ("q6_k", 16, 6, false),
            ("iq4_nl", 32, 4, false),
            ("iq4_xs", 32, 4, false),
        ] {
            let plain = relative_error(&plainly_rounded(&values, width, bits, has_offset), &values);
            let searched = packed_error(named(name), &values);
            println!("{name:8} {searched:.5} against {plain:.5}");
            assert!(searched < plain, "{name}: {searched} against {plain}");
        }
    }
}

fn named(name: &str) -> &'static Format {
    Format::named(name).unwrap_or_else(|| panic!("no {name}"))
}

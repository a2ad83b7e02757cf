//! Blocks of 256 weights in parts whose scales are numbers themselves, in steps that the block has as f16.

use std::array;

use half::f16;

use super::block::{half_at, largest, single_at, to_scale};
use super::search::{
    self, Levels, dot, error, inverse, normalized, rounded, scale_and_offset, sum,
};

/// Weights of a block.
pub(super) const BLOCK: usize = 256;

/// How often the steps are computed from what they were the steps of.
const ROUNDS: usize = 3;

/// A block whose parts have a scale of either sign.
pub(super) struct Scaled<const PARTS: usize> {
    /// The step of the scales.
    pub step: f16,
    /// The scale of each part.
    pub scales: [i8; PARTS],
    /// The weights in steps of their scales.
    pub levels: [f32; BLOCK],
}

impl<const PARTS: usize> Scaled<PARTS> {
    const NOTHING: Self = Self {
        step: f16::ZERO,
        scales: [0; PARTS],
        levels: [0.0; BLOCK],
    };

    /// Comes close to `block` with the levels `L` and scales from `-most` to `most - 1`.
    pub(super) fn of<L: Levels, const WIDTH: usize>(block: &[f32; BLOCK], most: f32) -> Self {
        let (values, magnitude) = normalized(block);
        let parts: [[f32; WIDTH]; PARTS] = parts(&values);
        let wanted = parts.map(|part| search::scale::<L, WIDTH>(&part));
        let mut step = not_below(largest(&wanted) / -most * magnitude);
        let mut best = Self::NOTHING;
        let mut least = f32::INFINITY;
        for _ in 0..ROUNDS {
            let mut fit = Self {
                step,
                ..Self::NOTHING
            };
            let (mut errors, mut products, mut squares) = (0.0, 0.0, 0.0);
            for (at, part) in parts.iter().enumerate() {
                let unit = step.to_f32() / magnitude;
                let (scale, levels, error) =
                    nearest_scale::<L, WIDTH>(part, wanted[at], unit, most);
                fit.scales[at] = scale as i8;
                fit.levels[at * WIDTH..][..WIDTH].copy_from_slice(&levels);
                errors += error;
                products += scale * dot(part, &levels);
                squares += scale * scale * dot(&levels, &levels);
            }
            if errors.is_nan() || errors >= least {
                break;
            }
            (least, best) = (errors, fit);
            step = to_scale(products / squares * magnitude);
        }
        best
    }
}

/// The whole scale in steps of `unit` that is best for `part`, next to the `wanted` one; the levels with it, and
/// their squared error.
fn nearest_scale<L: Levels, const WIDTH: usize>(
    part: &[f32; WIDTH],
    wanted: f32,
    unit: f32,
    most: f32,
) -> (f32, [f32; WIDTH], f32) {
    let middle = rounded((wanted * inverse(unit)).clamp(-most, most - 1.0));
    let mut best = (0.0, [0.0; WIDTH], dot(part, part));
    for scale in [middle, middle - 1.0, middle + 1.0] {
        let scale = scale.clamp(-most, most - 1.0);
        let inverse = inverse(scale * unit);
        let levels = L::nearest(&part.map(|value| value * inverse));
        let error = error(part, &levels.map(|level| level * scale * unit));
        if error < best.2 {
            best = (scale, levels, error);
        }
    }
    best
}

/// A block whose parts have a scale, and a number that is subtracted.
pub(super) struct Offset<const PARTS: usize> {
    /// The step of the scales, and of what is subtracted.
    pub steps: [f16; 2],
    /// The scale of each part, and what is subtracted.
    pub scales: [[u8; 2]; PARTS],
    /// The weights' numbers.
    pub numbers: [u8; BLOCK],
}

impl<const PARTS: usize> Offset<PARTS> {
    const NOTHING: Self = Self {
        steps: [f16::ZERO; 2],
        scales: [[0; 2]; PARTS],
        numbers: [0; BLOCK],
    };

    /// Comes close to `block` with numbers of at most `most`, and at most `most_scale` for scales.
    pub(super) fn of<const WIDTH: usize>(block: &[f32; BLOCK], most: f32, most_scale: f32) -> Self {
        let (values, magnitude) = normalized(block);
        let parts: [[f32; WIDTH]; PARTS] = parts(&values);
        let wanted = parts.map(|part| {
            let [scale, offset] = scale_and_offset(&part, most, true);
            [scale, -offset]
        });
        let mut steps = [0, 1].map(|which| {
            let wanted = wanted.map(|part| part[which]);
            not_below(largest(&wanted) / most_scale * magnitude)
        });
        let mut best = Self::NOTHING;
        let mut least = f32::INFINITY;
        for _ in 0..ROUNDS {
            let mut fit = Self {
                steps,
                ..Self::NOTHING
            };
            let mut sums = Sums::default();
            let units = steps.map(|step| step.to_f32() / magnitude);
            for (at, part) in parts.iter().enumerate() {
                let found = nearest_scales(part, wanted[at], units, [most, most_scale]);
                fit.scales[at] = found.scales.map(|scale| scale as u8);
                let numbers = &mut fit.numbers[at * WIDTH..][..WIDTH];
                for (number, found) in numbers.iter_mut().zip(found.numbers) {
                    *number = found as u8;
                }
                sums.add(part, &found);
            }
            if sums.error.is_nan() || sums.error >= least {
                break;
            }
            (least, best) = (sums.error, fit);
            steps = sums.steps().map(|step| to_scale(step * magnitude));
        }
        best
    }
}

/// What [`nearest_scales`] finds.
struct Found<const WIDTH: usize> {
    scales: [f32; 2],
    numbers: [f32; WIDTH],
    error: f32,
}

/// The whole scale and offset in steps of `units` that are best for `part`, next to the `wanted` ones.
fn nearest_scales<const WIDTH: usize>(
    part: &[f32; WIDTH],
    wanted: [f32; 2],
    units: [f32; 2],
    [most, most_scale]: [f32; 2],
) -> Found<WIDTH> {
    let whole = |which: usize, beside: f32| {
        let whole = (wanted[which] * inverse(units[which])).clamp(0.0, most_scale);
        (rounded(whole) + beside).clamp(0.0, most_scale)
    };
    let mut best = Found {
        scales: [0.0; 2],
        numbers: [0.0; WIDTH],
        error: dot(part, part),
    };
    for beside in [0.0, -1.0, 1.0] {
        let offset = whole(1, beside);
        let shifted = part.map(|value| value + offset * units[1]);
        for beside in [0.0, -1.0, 1.0] {
            let scale = whole(0, beside);
            let inverse = inverse(scale * units[0]);
            let numbers = shifted.map(|value| rounded((value * inverse).clamp(0.0, most)));
            let error = error(&shifted, &numbers.map(|number| number * scale * units[0]));
            if error < best.error {
                best = Found {
                    scales: [scale, offset],
                    numbers,
                    error,
                };
            }
        }
    }
    best
}

/// The sums of a block that say which steps are best for the numbers found: with `a` for the products of scale and
/// number, and `b` for what is subtracted.
#[derive(Default)]
struct Sums {
    error: f32,
    aa: f32,
    ab: f32,
    bb: f32,
    xa: f32,
    xb: f32,
}

impl Sums {
    fn add<const WIDTH: usize>(&mut self, part: &[f32; WIDTH], found: &Found<WIDTH>) {
        let [scale, offset] = found.scales;
        self.error += found.error;
        self.aa += scale * scale * dot(&found.numbers, &found.numbers);
        self.ab -= scale * offset * sum(&found.numbers);
        self.bb += offset * offset * WIDTH as f32;
        self.xa += scale * dot(part, &found.numbers);
        self.xb -= offset * sum(part);
    }

    fn steps(&self) -> [f32; 2] {
        let determinant = self.aa * self.bb - self.ab * self.ab;
        if determinant > 1e-6 * self.aa * self.bb {
            [
                (self.xa * self.bb - self.xb * self.ab) / determinant,
                (self.xb * self.aa - self.xa * self.ab) / determinant,
            ]
        } else {
            [self.xa / self.aa, 0.0]
        }
    }
}

fn parts<const PARTS: usize, const WIDTH: usize>(values: &[f32; BLOCK]) -> [[f32; WIDTH]; PARTS] {
    array::from_fn(|part| array::from_fn(|i| values[part * WIDTH + i]))
}

/// The nearest f16 that is not nearer to 0, but never infinite: scales in steps of it are within their range.
fn not_below(value: f32) -> f16 {
    let half = to_scale(value);
    if half.to_f32().abs() < value.abs() && half.to_bits() & 0x7fff < f16::MAX.to_bits() {
        f16::from_bits(half.to_bits() + 1)
    } else {
        half
    }
}

/// What numbers stand for whose parts have `scales`: each a scale and a number that is subtracted, in steps of two f16.
pub(super) fn unpack_offset<const SCALES: usize>(
    numbers: &[u8; BLOCK],
    scales: [u8; SCALES],
    steps: &[u8],
) -> [f32; BLOCK] {
    let steps = [half_at(steps), half_at(&steps[2..])];
    let scales: [f32; SCALES] = array::from_fn(|i| steps[i % 2] * f32::from(scales[i]));
    array::from_fn(|i| {
        let part = 2 * (i * SCALES / 2 / BLOCK);
        scales[part] * f32::from(numbers[i]) - scales[part + 1]
    })
}

/// What levels stand for whose parts have signed `scales`, in steps of an f32.
pub(super) fn unpack_scaled(levels: &[f32; BLOCK], scales: &[u8], step: &[u8]) -> [f32; BLOCK] {
    let step = single_at(step);
    let scale = |i: usize| f32::from(scales[i * scales.len() / BLOCK].cast_signed());
    array::from_fn(|i| step * scale(i) * levels[i])
}

/// The scales and offsets of eight parts, of 6 bits each, from 12 bytes of a file.
pub(super) fn from_six_bits(bytes: &[u8]) -> [u8; 16] {
    // Four scales and four offsets are whole; of the others the upper bits are above them, and the
    // lower ones behind them.
    let other = |i: usize| bytes[8 + i % 4] >> (i / 4 * 4) & 15 | bytes[i] >> 6 << 4;
    array::from_fn(|i| match (i / 2, i % 2) {
        (part @ 0..4, which) => bytes[4 * which + part] & 63,
        (part, which) => other(4 * which + part - 4),
    })
}

/// The inverse of [`from_six_bits`].
pub(super) fn to_six_bits(scales: &[u8]) -> [u8; 12] {
    let whole = |i: usize| scales[2 * (i % 4) + i / 4];
    let other = |i: usize| scales[2 * (i % 4) + 8 + i / 4];
    array::from_fn(|i| match i {
        0..8 => whole(i) | other(i) >> 4 << 6,
        _ => other(i - 8) & 15 | other(i - 4) << 4,
    })
}

//! Scales with which the levels of a format come closest to weights. Knows no format.
//!
//! Closest is the least sum of squared errors. Whichever scale a search starts from, the best one for the levels
//! that it gives the weights follows from them; so a few starts find a scale that is nearly the best of all.

use std::array;

use half::f16;

use super::block::{largest, to_scale};

/// Weights are divided by their largest magnitude first. Below this one the quotients would be wrong, and no
/// scale of half precision is as small.
const LEAST: f32 = 1e-30;

/// The values that weights can have, in steps of their scale.
pub(super) trait Levels {
    /// The first and the last one.
    const ENDS: [f32; 2];
    /// About how far apart they are.
    const STEP: f32;

    /// The ones nearest to `values`.
    fn nearest<const N: usize>(values: &[f32; N]) -> [f32; N];
}

/// The whole numbers from `FIRST` to `LAST`.
pub(super) struct Whole<const FIRST: i8, const LAST: i8>;

impl<const FIRST: i8, const LAST: i8> Levels for Whole<FIRST, LAST> {
    const ENDS: [f32; 2] = [FIRST as f32, LAST as f32];
    const STEP: f32 = 1.0;

    fn nearest<const N: usize>(values: &[f32; N]) -> [f32; N] {
        values.map(|value| rounded(value.clamp(FIRST as f32, LAST as f32)))
    }
}

/// Of the ascending `levels` the ones nearest to `values`.
pub(super) fn nearest_of<const N: usize>(levels: &[i8], values: &[f32; N]) -> [f32; N] {
    let mut nearest = [f32::from(levels[0]); N];
    // From one to the next where the middle between them is passed: no branch, so that it is vectorised.
    for pair in levels.windows(2) {
        let [low, high] = [pair[0], pair[1]].map(f32::from);
        let (middle, step) = (low.midpoint(high), high - low);
        for (nearest, value) in nearest.iter_mut().zip(values) {
            *nearest += if *value > middle { step } else { 0.0 };
        }
    }
    nearest
}

/// The whole number nearest to `value`, which is small.
pub(super) fn rounded(value: f32) -> f32 {
    // Numbers near 1.5 * 2^23 are whole, so that the addition rounds, and, unlike a call of `round`, that
    // is vectorised.
    const WHOLE: f32 = 12_582_912.0;
    (value + WHOLE) - WHOLE
}

/// The sum of products. Eight partial sums, because sums in order are not vectorised.
pub(super) fn dot<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// The sum.
pub(super) fn sum<const N: usize>(values: &[f32; N]) -> f32 {
    dot(values, &[1.0; N])
}

/// The squared distance.
pub(super) fn error<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    let difference: [f32; N] = array::from_fn(|i| a[i] - b[i]);
    dot(&difference, &difference)
}

/// 1 / `value`, and 0 for 0: what levels have no scale are 0.
pub(super) fn inverse(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { 1.0 / value }
}

/// `values` divided by their largest magnitude, which is the second result; zeros if that is hardly
/// more than 0.
pub(super) fn normalized<const N: usize>(values: &[f32; N]) -> ([f32; N], f32) {
    let magnitude = largest(values).abs().min(f32::MAX);
    if magnitude < LEAST {
        return ([0.0; N], 0.0);
    }
    (values.map(|value| value / magnitude), magnitude)
}

/// The scale, of either sign, with which `L` comes closest to normalized `values`.
pub(super) fn scale<L: Levels, const N: usize>(values: &[f32; N]) -> f32 {
    let largest = largest(values);
    if largest.abs() < LEAST {
        return 0.0;
    }
    let mut best = Best::default();
    let mut start = |inverse: f32| {
        let levels = L::nearest(&values.map(|value| value * inverse));
        let (product, square) = (dot(values, &levels), dot(&levels, &levels));
        // By so much the squared error is less than without levels.
        let gain = product * product / square;
        best.keep(gain, product / square);
    };
    // The largest weight near either end, from a little before it to far beyond.
    for end in L::ENDS {
        for step in -2..=4 {
            start((end + end.signum() * 0.4 * step as f32 * L::STEP) / largest);
        }
    }
    best.found
}

/// What a search has found so far.
#[derive(Default)]
struct Best<T> {
    gain: f32,
    found: T,
}

impl<T> Best<T> {
    /// Keeps `candidate` if it gains more; never, if that is no number.
    fn keep(&mut self, gain: f32, candidate: T) {
        if gain > self.gain {
            *self = Self {
                gain,
                found: candidate,
            };
        }
    }
}

/// The scale and the offset with which the whole numbers up to `most` come closest to normalized
/// `values`: each is `scale * number + offset`. If `below`, the offset is 0 at most.
pub(super) fn scale_and_offset<const N: usize>(
    values: &[f32; N],
    most: f32,
    below: bool,
) -> [f32; 2] {
    let fold = |pick: fn(f32, f32) -> f32| values.iter().copied().fold(values[0], pick);
    let least = fold(f32::min).min(if below { 0.0 } else { f32::MAX });
    let range = fold(f32::max) - least;
    if range.is_nan() || range < LEAST {
        return [0.0, least];
    }
    // Relative to the least, for an offset far from 0 takes the digits.
    let values = values.map(|value| value - least);
    let (count, total) = (N as f32, sum(&values));
    let mut best = Best::default();
    let mut refit = |[scale, offset]: [f32; 2]| {
        let inverse = inverse(scale);
        let numbers = values.map(|value| rounded(((value - offset) * inverse).clamp(0.0, most)));
        let (product, square) = (dot(&values, &numbers), dot(&numbers, &numbers));
        let sum = sum(&numbers);
        let mut scale = (count * product - sum * total) / (count * square - sum * sum);
        let mut offset = (total - scale * sum) / count;
        if below && offset + least > 0.0 {
            offset = -least;
            scale = (product - offset * sum) / square;
        }
        // By so much the squared error is less than that of no scale and no offset.
        let gain = scale * (2.0 * product - scale * square)
            + offset * (2.0 * total - offset * count)
            - 2.0 * scale * offset * sum;
        best.keep(gain, [scale, offset]);
        [scale, offset]
    };
    // The range over fewer than all numbers, to more, which leaves out its ends.
    for step in -3..=4 {
        let found = refit([range / (most + 0.3 * step as f32), 0.0]);
        refit(found);
    }
    let [scale, offset] = best.found;
    [scale, offset + least]
}

/// The scale as f16 with which `L` comes closest to `block`, and the levels with it.
pub(super) fn with_scale<L: Levels, const N: usize>(block: &[f32; N]) -> (f16, [f32; N]) {
    let (values, magnitude) = normalized(block);
    let scale = to_scale(scale::<L, N>(&values) * magnitude);
    let inverse = inverse(scale.to_f32());
    (scale, L::nearest(&block.map(|value| value * inverse)))
}

/// The scale and the offset as f16 with which the numbers up to `most` come closest to `block`, and the
/// numbers with them.
pub(super) fn with_offset<const N: usize>(block: &[f32; N], most: f32) -> ([f16; 2], [u8; N]) {
    let (values, magnitude) = normalized(block);
    let [scale, offset] =
        scale_and_offset(&values, most, false).map(|value| to_scale(value * magnitude));
    let inverse = inverse(scale.to_f32());
    let number = |value: f32| rounded(((value - offset.to_f32()) * inverse).clamp(0.0, most)) as u8;
    ([scale, offset], block.map(number))
}

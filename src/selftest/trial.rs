//! A recorded kernel with what it should give, and how far off it is.

use rand_core::Rng;
use rand_pcg::Pcg32;
use web_time::Duration;

use super::Check;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pass, Recording, Tensor};

/// Rounding of f32 sums, relative to the largest value.
pub(super) const ROUNDING: f64 = 2e-5;
/// The same with exponentials, of which WGSL asks less.
pub(super) const EXPONENTIAL: f64 = 1e-4;

/// Kernels that only prepare what another one reads.
const PREPARING: [&str; 3] = ["pad", "matrix_operands", "expert_operands"];

/// How long a kernel is timed for, if it is quick.
const TIMED: Duration = Duration::from_millis(100);

/// Shapes, all of one made-up model.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Tokens for kernels that take few.
    pub few: usize,
    /// Tokens for kernels that take many.
    pub many: usize,
    pub vocabulary: usize,
    pub hidden: usize,
    pub outer: usize,
    pub intermediate: usize,
    pub experts: usize,
    pub experts_per_token: usize,
    pub groups: usize,
    pub groups_kept: usize,
    pub heads: usize,
    pub nope: usize,
    /// Pairs of rotary columns.
    pub pairs: usize,
    pub latent: usize,
    /// Columns of a head of grouped attention.
    pub head_dim: usize,
    pub context: usize,
    pub splits: usize,
}

impl Sizes {
    /// Small, and multiples of nothing where that is allowed.
    pub(super) const EDGES: Self = Self {
        few: 3,
        many: 70,
        vocabulary: 29,
        hidden: 100,
        outer: 37,
        intermediate: 34,
        experts: 12,
        experts_per_token: 3,
        groups: 4,
        groups_kept: 2,
        heads: 5,
        nope: 13,
        pairs: 3,
        latent: 40,
        head_dim: 12,
        context: 150,
        splits: 4,
    };

    /// DeepSeek-V2-Lite's, with a quarter of its experts and of its vocabulary.
    pub(super) const MODEL: Self = Self {
        few: 1,
        many: 16,
        vocabulary: 25_600,
        hidden: 2048,
        outer: 2048,
        intermediate: 1408,
        experts: 16,
        experts_per_token: 6,
        groups: 4,
        groups_kept: 3,
        heads: 16,
        nope: 128,
        pairs: 32,
        latent: 512,
        head_dim: 128,
        context: 2048,
        splits: 16,
    };
}

/// What a tensor should hold.
pub(super) enum Expected {
    /// Within the tolerance.
    Floats(Vec<f32>),
    /// Exactly.
    Integers(Vec<u32>),
}

/// A kernel that was recorded.
pub(super) struct Trial {
    pub format: Option<&'static str>,
    pub results: Vec<(Tensor, Expected)>,
    pub tolerance: f64,
    /// Bytes that must be read and written.
    pub bytes: u64,
    pub operations: u64,
}

impl Trial {
    /// A trial of a kernel that reads no weight and gives one tensor of f32.
    pub(super) fn of(inputs: &[&Tensor], result: Tensor, expected: Vec<f32>) -> Self {
        let bytes = inputs
            .iter()
            .copied()
            .chain([&result])
            .map(Tensor::bytes)
            .sum();
        let results = vec![(result, Expected::Floats(expected))];
        Self {
            format: None,
            results,
            tolerance: ROUNDING,
            bytes,
            operations: 0,
        }
    }
}

/// A kernel that was run.
pub(super) struct Attempt {
    pub check: Check,
    pub bytes: u64,
    pub operations: u64,
    recording: Recording,
}

impl Attempt {
    /// How long the kernel takes, without the launches that prepare its input.
    pub(super) async fn time(&self, gpu: &Gpu) -> Result<Duration> {
        let first = self.time_of(gpu, 1).await?;
        let repeats = TIMED.as_nanos() / first.as_nanos().max(1);
        self.time_of(gpu, repeats.clamp(2, 200) as u32).await
    }

    async fn time_of(&self, gpu: &Gpu, repeats: u32) -> Result<Duration> {
        let profile = self.recording.profile(gpu, repeats).await?;
        let times = self.recording.kernels().zip(profile.times);
        let own = times.filter(|(kernel, _)| *kernel == self.check.kernel);
        Ok(own.map(|(_, took)| took).sum())
    }
}

/// Runs what `build` records.
///
/// # Errors
/// Those that concern the device and not the kernel.
pub(super) async fn attempt(gpu: &Gpu, build: impl FnOnce(&mut Pass) -> Trial) -> Result<Attempt> {
    let mut pass = Pass::new(gpu);
    let Trial {
        format,
        results,
        tolerance,
        bytes,
        operations,
    } = build(&mut pass);
    let (tensors, expected): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let recording = pass.finish(tensors);
    let kernel = own_kernel(&recording);
    let (error, fault) = match recording.submit(gpu).read(gpu).await {
        Ok(actual) => (worst(&actual, &expected), None),
        Err(Error::Internal(what)) => (f64::INFINITY, Some(what)),
        Err(other) => return Err(other),
    };
    let check = Check {
        kernel,
        format,
        error,
        tolerance,
        passed: error <= tolerance,
        fault,
    };
    Ok(Attempt {
        check,
        bytes,
        operations,
        recording,
    })
}

/// The kernel that a recording is about: what reads the weight, if one is read.
fn own_kernel(recording: &Recording) -> &'static str {
    let reader = recording.works().find(|work| work.weight.is_some());
    let reader = reader.map(|work| work.kernel);
    let own = || recording.kernels().find(|name| !PREPARING.contains(name));
    let kernel = reader.or_else(own).or_else(|| recording.kernels().next());
    kernel.expect("a launch")
}

fn worst(actual: &[Vec<u8>], expected: &[Expected]) -> f64 {
    let deviation = |(bytes, expected): (&Vec<u8>, &Expected)| match expected {
        Expected::Floats(expected) => relative(&bytemuck::pod_collect_to_vec(bytes), expected),
        Expected::Integers(expected) => {
            let actual: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
            if actual == *expected {
                0.0
            } else {
                f64::INFINITY
            }
        }
    };
    actual
        .iter()
        .zip(expected)
        .map(deviation)
        .fold(0.0, f64::max)
}

/// The largest difference over the largest expected magnitude; infinite if one is no number.
fn relative(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest, &value| {
        f64::max(largest, f64::from(value).abs())
    });
    let difference =
        |(&actual, &expected): (&f32, &f32)| (f64::from(actual) - f64::from(expected)).abs();
    let worst = |worst: f64, difference: f64| {
        if difference.is_nan() {
            f64::INFINITY
        } else {
            worst.max(difference)
        }
    };
    let difference = actual.iter().zip(expected).map(difference).fold(0.0, worst);
    // Where only zeros are expected, any difference counts as it is.
    difference / if largest > 0.0 { largest } else { 1.0 }
}

/// Numbers in -1..1, the same for a seed on every machine.
pub(super) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Pcg32::new(seed, 0);
    (0..count)
        .map(|_| (random.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

pub(super) fn scaled(values: Vec<f32>, factor: f32) -> Vec<f32> {
    values.into_iter().map(|value| value * factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_number_is_infinitely_wrong() {
        assert!(relative(&[1.0, f32::NAN, 1.0], &[1.0, 1.0, 1.0]).is_infinite());
        assert!(relative(&[f32::INFINITY], &[1.0]).is_infinite());
        assert!((relative(&[3.0, -3.0], &[3.0, -4.0]) - 0.25).abs() < f64::EPSILON);
        assert!(relative(&[0.5], &[0.0]) > 0.4);
    }
}

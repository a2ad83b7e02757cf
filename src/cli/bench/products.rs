//! Products of matrices in f32, of sizes that other libraries publish figures for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::formats::F32;
use tiefsee::gpu::{Clock, Gpu, Pass, Recording, Tensor, WeightWriter};
use tiefsee::ops;
use tiefsee::selftest::{Proven, Roof, prove_tiers};

use super::report::{Format, clock_name};
use super::samples::median;
use crate::cli::common::DeviceArguments;
use crate::cli::output;

/// What is multiplied where no sizes are given.
pub(super) const SIZES: &str = "512x512x512,1024x1024x1024,128x4096x4096,1x4096x4096";
/// Products that are submitted before their end is waited for.
const IN_A_ROW: usize = 8;
/// Values of a result that are compared with what they should be.
const CHECKED: usize = 256;
/// Rounding of sums in f32, relative to the sum of magnitudes.
const TOLERANCE: f64 = 1e-5;

/// Rows of the left matrix, rows of the right one, which is transposed, and columns of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    rows: usize,
    outer: usize,
    inner: usize,
}

/// `MxNxK`, for clap.
pub(super) fn size(text: &str) -> std::result::Result<Size, String> {
    let numbers: Option<Vec<usize>> = text
        .split('x')
        .map(|number| number.parse().ok().filter(|&number| number > 0))
        .collect();
    match numbers.as_deref() {
        Some(&[rows, outer, inner]) => Ok(Size { rows, outer, inner }),
        _ => Err("not three sizes like 512x512x512".into()),
    }
}

/// How fast a product is.
struct Timing {
    size: Size,
    kernel: &'static str,
    /// Seconds of the launches, in each repetition.
    launches: Vec<f64>,
    /// Seconds from submitting several to the end of the last, divided among them.
    whole: Vec<f64>,
    clock: Clock,
    error: f64,
}

impl Timing {
    fn operations(&self) -> f64 {
        2.0 * (self.size.rows * self.size.outer * self.size.inner) as f64
    }

    /// Bytes of both matrices and the product.
    fn bytes(&self) -> f64 {
        let Size { rows, outer, inner } = self.size;
        4.0 * (rows * inner + outer * inner + rows * outer) as f64
    }

    fn took(&self) -> f64 {
        median(&self.launches).max(1e-9)
    }

    fn is_right(&self) -> bool {
        self.error <= TOLERANCE
    }

    fn object(&self, roof: &Roof) -> Value {
        let us = |seconds: &[f64]| -> Vec<f64> { seconds.iter().map(|s| 1e6 * s).collect() };
        let (speed, rate) = (self.operations() / self.took(), self.bytes() / self.took());
        json!({
            "m": self.size.rows,
            "n": self.size.outer,
            "k": self.size.inner,
            "kernel": self.kernel,
            "us": 1e6 * self.took(),
            "samples_us": us(&self.launches),
            "in_a_row_us": 1e6 * median(&self.whole),
            "in_a_row_samples_us": us(&self.whole),
            "operations_per_second": speed,
            "peak_share": speed / roof.peak,
            "bytes_per_second": rate,
            "bandwidth_share": rate / roof.bandwidth,
            "clock": clock_name(self.clock),
            "error": self.error,
            "passed": self.is_right(),
        })
    }

    fn markdown(&self, roof: &Roof) -> String {
        let Size { rows, outer, inner } = self.size;
        let (speed, rate) = (self.operations() / self.took(), self.bytes() / self.took());
        format!(
            "| {rows}x{outer}x{inner} | {} | {:.1} | {:.1} | {:.2} | {:.1} % | {:.2} | {:.0} % | {:.1e} | {} |\n",
            self.kernel,
            1e6 * self.took(),
            1e6 * median(&self.whole),
            speed / 1e9,
            100.0 * speed / roof.peak,
            rate / 1e9,
            100.0 * rate / roof.bandwidth,
            self.error,
            if self.is_right() { "ok" } else { "WRONG" },
        )
    }
}

/// Times products of `sizes`; whether all of them are right.
///
/// # Errors
/// Whatever the device reports.
pub(super) async fn run(
    device: &DeviceArguments,
    sizes: &[Size],
    repetitions: usize,
    format: Format,
) -> Result<bool> {
    let Proven { gpu, disabled } = prove_tiers(&device.options()).await?;
    device.warn(gpu.adapter(), &disabled);
    let roof = Roof::measure(&gpu).await?;
    let mut timings = Vec::new();
    for &size in sizes {
        timings.push(time(&gpu, size, repetitions).await?);
    }
    let text = match format {
        Format::Json => {
            let report = json!({
                "device": gpu.adapter().info.name,
                "copy_bandwidth": roof.bandwidth,
                "peak": roof.peak,
                "products": timings.iter().map(|timing| timing.object(&roof)).collect::<Vec<_>>(),
            });
            format!("{report:#}\n")
        }
        Format::Csv => csv(&timings),
        Format::Md => {
            let head = "| product | kernel | us | in a row | GFLOP/s | of peak | GB/s | of bandwidth | error | |\n\
                        |---|---|---:|---:|---:|---:|---:|---:|---:|---|\n";
            let lines = timings.iter().map(|timing| timing.markdown(&roof));
            head.to_owned() + &lines.collect::<String>()
        }
    };
    output::write(&text)?;
    Ok(timings.iter().all(Timing::is_right))
}

fn csv(timings: &[Timing]) -> String {
    let line = |timing: &Timing| {
        let Size { rows, outer, inner } = timing.size;
        format!(
            "{rows},{outer},{inner},{},{:.3},{:.3},{:.0},{:.0},{:e},{}\n",
            timing.kernel,
            1e6 * timing.took(),
            1e6 * median(&timing.whole),
            timing.operations() / timing.took(),
            timing.bytes() / timing.took(),
            timing.error,
            timing.is_right(),
        )
    };
    let head = "m,n,k,kernel,us,in_a_row_us,operations_per_second,bytes_per_second,error,passed\n";
    head.to_owned() + &timings.iter().map(line).collect::<String>()
}

/// A number in -1..1, the same for a place on every machine (a linear congruence, as in PCG's papers).
fn number(place: usize, seed: u32) -> f32 {
    let mixed = (place as u32 ^ seed).wrapping_mul(747_796_405);
    let mixed = (mixed >> 15 ^ mixed).wrapping_mul(277_803_737);
    (mixed >> 8) as f32 / 8_388_608.0 - 1.0
}

async fn time(gpu: &Gpu, size: Size, repetitions: usize) -> Result<Timing> {
    let Size { rows, outer, inner } = size;
    let mut writer = WeightWriter::new(gpu, &F32, [1, outer, inner]).await?;
    for row in 0..outer {
        let row: Vec<f32> = (0..inner).map(|k| number(row * inner + k, 1)).collect();
        writer.write(&row).await?;
    }
    let weight = writer.finish();
    let values: Vec<f32> = (0..rows * inner).map(|place| number(place, 2)).collect();
    let x = Tensor::upload(gpu, &[rows, inner], &values);
    let record = |count: usize, reads: bool| {
        let mut pass = Pass::new(gpu);
        let products: Vec<_> = (0..count)
            .map(|_| ops::matmul(&mut pass, &x, &weight))
            .collect();
        pass.finish(if reads { products } else { Vec::new() })
    };
    let once = record(1, true);
    let result: Vec<f32> = bytemuck::pod_collect_to_vec(&once.submit(gpu).read(gpu).await?[0]);
    let error = error(&result, size);
    let row = record(IN_A_ROW, false);
    row.submit(gpu).read(gpu).await?;
    let (mut launches, mut whole) = (Vec::new(), Vec::new());
    let mut clock = gpu.clock;
    for _ in 0..repetitions {
        let profile = once.profile(gpu, IN_A_ROW as u32).await?;
        clock = profile.clock;
        launches.push(profile.times.iter().map(Duration::as_secs_f64).sum());
        whole.push(time_in_a_row(gpu, &row).await?);
    }
    Ok(Timing {
        size,
        kernel: once.kernels().last().unwrap_or_default(),
        launches,
        whole,
        clock,
        error,
    })
}

async fn time_in_a_row(gpu: &Gpu, recording: &Recording) -> Result<f64> {
    let started = Instant::now();
    recording.submit(gpu).read(gpu).await?;
    Ok(started.elapsed().as_secs_f64() / IN_A_ROW as f64)
}

/// The largest deviation of some values, relative to the sum of the magnitudes that each is made of.
fn error(result: &[f32], size: Size) -> f64 {
    let Size { outer, inner, .. } = size;
    let step = (result.len() / CHECKED).max(1);
    let deviation = |place: usize| {
        let (row, column) = (place / outer, place % outer);
        let product = |k: usize| {
            f64::from(number(row * inner + k, 2)) * f64::from(number(column * inner + k, 1))
        };
        let sum: f64 = (0..inner).map(product).sum();
        let magnitude: f64 = (0..inner).map(|k| product(k).abs()).sum();
        (f64::from(result[place]) - sum).abs() / magnitude
    };
    let places = (0..result.len()).step_by(step).chain([result.len() - 1]);
    let worst = |worst: f64, error: f64| {
        if error.is_nan() {
            f64::INFINITY
        } else {
            worst.max(error)
        }
    };
    places.map(deviation).fold(0.0, worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_three_numbers() {
        let right = Size {
            rows: 1,
            outer: 20,
            inner: 300,
        };
        assert_eq!(size("1x20x300"), Ok(right));
        for wrong in ["", "1x2", "1x2x3x4", "0x1x1", "axbxc", "1 x2x3"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(SIZES.split(',').all(|text| size(text).is_ok()));
    }

    #[test]
    fn errors_are_noticed() {
        let size = size("2x3x40").unwrap();
        let exact = |place: usize| {
            let (row, column) = (place / 3, place % 3);
            let product = |k: usize| number(row * 40 + k, 2) * number(column * 40 + k, 1);
            (0..40).map(product).sum::<f32>()
        };
        let mut result: Vec<f32> = (0..6).map(exact).collect();
        assert!(error(&result, size) <= TOLERANCE);
        result[5] += 0.01;
        assert!(error(&result, size) > TOLERANCE);
        result[5] = f32::NAN;
        assert!(error(&result, size).is_infinite());
    }
}

//! One kernel's speed, for comparing with other engines in the same browser.

use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::failure::Failure;
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::gpu::{DeviceOptions, Gpu, Pass, Tensor, WeightWriter};
use crate::ops;

/// Milliseconds of one product of a weight `[rows, columns]` in the format called `format` with a
/// vector: `repeats` of them run in one submit, whose end is waited for.
///
/// # Errors
/// For an unknown format, and whatever the device reports.
#[wasm_bindgen]
pub async fn time_matmul(
    rows: usize,
    columns: usize,
    format: String,
    repeats: usize,
) -> std::result::Result<f64, Failure> {
    let unknown = || Error::Usage(format!("there is no format {format:?}"));
    let format = Format::named(&format).ok_or_else(unknown)?;
    let gpu = Gpu::open(&DeviceOptions::default()).await?;
    let took = time(&gpu, [rows, columns], format, repeats.max(1)).await?;
    gpu.destroy();
    Ok(took)
}

async fn time(
    gpu: &Gpu,
    [rows, columns]: [usize; 2],
    format: &'static Format,
    repeats: usize,
) -> Result<f64> {
    let number = |index: usize| (index * 7 % 31) as f32 / 31.0 - 0.5;
    let mut writer = WeightWriter::new(gpu, format, [1, rows, columns]).await?;
    let row: Vec<f32> = (0..columns).map(number).collect();
    for _ in 0..rows {
        writer.write(&row).await?;
    }
    let weight = writer.finish();
    let x = Tensor::upload(gpu, &[1, columns], &row);
    let mut pass = Pass::new(gpu);
    let products: Vec<_> = (0..repeats)
        .map(|_| ops::matmul(&mut pass, &x, &weight))
        .collect();
    let recording = pass.finish(products.into_iter().next_back().into_iter().collect());
    // The first run compiles.
    recording.submit(gpu).read(gpu).await?;
    let start = Instant::now();
    recording.submit(gpu).read(gpu).await?;
    Ok(start.elapsed().as_secs_f64() * 1e3 / repeats as f64)
}

//! How fast kernels of this library read memory, as the measure for what a model achieves.

use web_time::Duration;

use crate::error::Result;
use crate::formats::F32;
use crate::gpu::{Gpu, Pass, Tensor, WeightWriter};
use crate::ops;

/// More than caches hold, and no more than every device binds at once.
const BYTES: usize = 128 << 20;
const COLUMNS: usize = 4096;
const RUNS: usize = 5;

/// Bytes a second that a matrix-vector product in f32 reads, the best of several runs.
///
/// # Errors
/// [`crate::error::Error::DoesNotFit`] if 128 MiB are too much, and what the device reports.
pub async fn read_bandwidth(gpu: &Gpu) -> Result<f64> {
    let rows = BYTES / 4 / COLUMNS;
    let mut writer = WeightWriter::new(gpu, &F32, [1, rows, COLUMNS]).await?;
    let slab = vec![0.5; 64 * COLUMNS];
    for _ in 0..rows / 64 {
        writer.write(&slab).await?;
    }
    let weight = writer.finish();
    gpu.flush().await?;
    let x = Tensor::upload(gpu, &[1, COLUMNS], &vec![0.5f32; COLUMNS]);
    let mut pass = Pass::new(gpu);
    let y = ops::matmul_few(&mut pass, &x, &weight);
    let recording = pass.finish(vec![y]);
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let took: Duration = recording
            .profile(gpu, 1)?
            .into_iter()
            .map(|(_, took)| took)
            .sum();
        best = best.min(took);
    }
    Ok(BYTES as f64 / best.as_secs_f64())
}

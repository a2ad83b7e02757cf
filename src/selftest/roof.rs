//! What a device can do at most, as the measure for what a model achieves: how fast it copies memory, and how
//! fast it multiplies and adds what is in registers.

use bytemuck::{Pod, Zeroable};
use web_time::{Duration, Instant};

use super::trial::{Sizes, Trial, noise};
use crate::error::Result;
use crate::gpu::{Dispatch, Gpu, Pass, Tensor};
use crate::kernel;

/// Bytes that are copied: more than caches hold, and no more than every device binds at once.
const BYTES: usize = 128 << 20;
const SLAB: usize = 4 << 20;
/// Workgroups of the kernel that computes: more than any device works on at once.
const GROUPS: usize = 4096;
/// Software adapters have few cores, and take long for many rounds.
const SOFTWARE_GROUPS: usize = 64;
const ROUNDS: usize = 4096;
const RUNS: usize = 7;
/// A slow device has fewer runs: as many as begin in this time.
const MOST: Duration = Duration::from_secs(2);
/// Lanes of a workgroup, as in most kernels.
const LANES: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyParams {
    count: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ChainParams {
    factor: f32,
    addend: f32,
}

/// Values stay between -1 and 2, and no two rounds give the same.
const CHAIN: ChainParams = ChainParams {
    factor: -0.75,
    addend: 0.5,
};

/// What a device can do at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roof {
    /// Bytes a second that a copy in memory reads and writes.
    pub bandwidth: f64,
    /// Additions and multiplications a second of f32 in registers.
    pub peak: f64,
}

impl Roof {
    /// Measures both: the best of several runs.
    ///
    /// # Errors
    /// [`crate::error::Error::DoesNotFit`] if 256 MiB are too much, and what the device reports.
    pub async fn measure(gpu: &Gpu) -> Result<Self> {
        Ok(Self {
            bandwidth: bandwidth(gpu).await?,
            peak: peak(gpu).await?,
        })
    }
}

async fn bandwidth(gpu: &Gpu) -> Result<f64> {
    let shape = [BYTES / 32, 8];
    let x = Tensor::reserve(gpu, &shape).await?;
    let y = Tensor::reserve(gpu, &shape).await?;
    let values = noise(SLAB / 4, 80);
    for start in (0..BYTES).step_by(SLAB) {
        x.view(start, &[SLAB / 4]).write(gpu, &values);
    }
    gpu.flush().await?;
    let best = best(gpu, |pass| copy_to(pass, &x, &y)).await?;
    Ok(2.0 * BYTES as f64 / best.as_secs_f64())
}

async fn peak(gpu: &Gpu) -> Result<f64> {
    let groups = if gpu.tiers.software {
        SOFTWARE_GROUPS
    } else {
        GROUPS
    };
    let values = noise(groups * LANES * 8, 81);
    let x = Tensor::upload(gpu, &[groups * LANES, 8], &values);
    let best = best(gpu, |pass| _ = multiply_add_of(pass, &x, ROUNDS)).await?;
    Ok((2 * values.len() * ROUNDS) as f64 / best.as_secs_f64())
}

async fn best(gpu: &Gpu, record: impl FnOnce(&mut Pass)) -> Result<Duration> {
    let mut pass = Pass::new(gpu);
    record(&mut pass);
    let recording = pass.finish(Vec::new());
    let (started, mut best) = (Instant::now(), Duration::MAX);
    for run in 0..RUNS {
        // The first one compiles.
        if run > 1 && started.elapsed() > MOST {
            break;
        }
        let took: Duration = recording.profile(gpu, 1).await?.times.iter().sum();
        best = best.min(took.max(Duration::from_nanos(1)));
    }
    Ok(best)
}

fn copy_to(pass: &mut Pass, x: &Tensor, y: &Tensor) {
    let [count, _] = x.dims();
    let workgroups = count.div_ceil(LANES);
    let rows = workgroups.div_ceil(65_535);
    pass.dispatch(Dispatch {
        kernel: kernel!("copy"),
        constants: &[],
        params: CopyParams {
            count: count as u32,
        },
        inputs: &[x],
        weight: None,
        outputs: &[y],
        workgroups: [workgroups.div_ceil(rows), rows, 1],
    });
}

fn multiply_add_of(pass: &mut Pass, x: &Tensor, rounds: usize) -> Tensor {
    let [count, _] = x.dims();
    let y = pass.tensor(&[count, 8]);
    pass.dispatch(Dispatch {
        kernel: kernel!("multiply_add"),
        constants: &[("ROUNDS", rounds as u32)],
        params: CHAIN,
        inputs: &[x],
        weight: None,
        outputs: &[&y],
        workgroups: [count / LANES, 1, 1],
    });
    y
}

/// Not whole workgroups.
pub(super) fn copy(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let count = sizes.many * sizes.hidden / 8 + 1;
    let values = noise(8 * count, 82);
    let x = Tensor::upload(pass.gpu, &[count, 8], &values);
    let y = pass.tensor(&[count, 8]);
    copy_to(pass, &x, &y);
    Trial {
        tolerance: 0.0,
        ..Trial::of(&[&x], y, values)
    }
}

pub(super) fn multiply_add(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (count, rounds) = (sizes.many * LANES, 64);
    let values = noise(8 * count, 83);
    let x = Tensor::upload(pass.gpu, &[count, 8], &values);
    let y = multiply_add_of(pass, &x, rounds);
    let expected = values.iter().map(|&value| {
        let step = |value, _| value * f64::from(CHAIN.factor) + f64::from(CHAIN.addend);
        (0..rounds).fold(f64::from(value), step) as f32
    });
    Trial {
        operations: (2 * values.len() * rounds) as u64,
        ..Trial::of(&[&x], y, expected.collect())
    }
}

//! What the launches of a recording work on, and how long each of them takes.

use std::ops::Range;

use web_time::{Duration, Instant};

use super::memory::Purpose;
use super::{CacheType, Gpu, Recording};
use crate::error::{Error, Result};
use crate::formats::Format;

/// Launches that one set of timestamps is for: a set has at most 4096, and each takes two.
const LAUNCHES: usize = 2048;
const TIMESTAMP_BYTES: u64 = 8;

/// Whose clock launches are timed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's: a timestamp before and one after each launch.
    Device,
    /// The host's: each launch is a submit of its own, and its time includes the way there and back.
    Host,
}

/// How long the launches of a recording took.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Whose time it is.
    pub clock: Clock,
    /// Of each launch, in the order they run.
    pub times: Vec<Duration>,
}

/// What a launch works on.
#[derive(Clone, Debug)]
pub struct Work {
    /// The kernel.
    pub kernel: &'static str,
    /// Values of its `override`s that differ from its defaults.
    pub constants: Vec<(&'static str, u32)>,
    /// The type of the cache it reads or writes, if it does so in any.
    pub cache: Option<&'static CacheType>,
    /// Shapes of what it binds to read, all of 32-bit values.
    pub inputs: Vec<Vec<usize>>,
    /// The weight it reads, if any.
    pub weight: Option<WeightPart>,
    /// Shapes of what it writes.
    pub outputs: Vec<Vec<usize>>,
    /// Workgroups in each dimension.
    pub workgroups: [u32; 3],
}

/// The part of a weight that a launch binds.
#[derive(Clone, Copy, Debug)]
pub struct WeightPart {
    /// How it is stored.
    pub format: &'static Format,
    /// Rows, of all its matrices.
    pub rows: usize,
    /// Rows of the whole weight.
    pub total_rows: usize,
    /// Matrices; 1 for rows of a single one.
    pub matrices: usize,
    /// Bytes of them.
    pub bytes: u64,
}

impl WeightPart {
    /// Weights, those that fill rows up included.
    pub fn values(&self) -> u64 {
        let planes: usize = self.format.planes.iter().sum();
        self.bytes / planes as u64 * self.format.block as u64
    }
}

impl Recording {
    /// What the launches work on, in the order they run.
    pub fn works(&self) -> impl ExactSizeIterator<Item = &Work> {
        self.launches.iter().map(|launch| &launch.work)
    }

    /// How long each launch takes: the mean of `repeats` in a row.
    ///
    /// The device's clock is believed as long as it moves, and not beyond the time that passed on the host.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn profile(&self, gpu: &Gpu, repeats: u32) -> Result<Profile> {
        let of_device = match gpu.clock {
            Clock::Device => self.profile_by_device(gpu, repeats).await?,
            Clock::Host => None,
        };
        if let Some(times) = of_device {
            let clock = Clock::Device;
            return Ok(Profile { clock, times });
        }
        let launches = 0..self.launches.len();
        let times = launches.map(|launch| self.profile_by_host(gpu, launch, repeats));
        let times = times.collect::<Result<_>>()?;
        gpu.check()?;
        let clock = Clock::Host;
        Ok(Profile { clock, times })
    }

    fn profile_by_host(&self, gpu: &Gpu, launch: usize, repeats: u32) -> Result<Duration> {
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.launch(&mut pass, std::iter::repeat_n(launch, repeats as usize));
        drop(pass);
        let started = Instant::now();
        let index = gpu.queue.submit([encoder.finish()]);
        gpu.wait(Some(index))?;
        Ok(started.elapsed() / repeats)
    }

    /// Nothing if the device's clock cannot be right.
    async fn profile_by_device(&self, gpu: &Gpu, repeats: u32) -> Result<Option<Vec<Duration>>> {
        let mut times: Vec<Duration> = Vec::with_capacity(self.launches.len());
        let started = Instant::now();
        // In submits as short as those of a run.
        for part in self.part_ranges() {
            for first in part.clone().step_by(LAUNCHES) {
                let launches = first..part.end.min(first + LAUNCHES);
                times.extend(self.timestamps(gpu, launches, repeats).await?);
            }
        }
        let sum: Duration = times.iter().sum();
        let possible = !sum.is_zero() && sum * repeats <= started.elapsed();
        Ok((possible || times.is_empty()).then_some(times))
    }

    async fn timestamps(
        &self,
        gpu: &Gpu,
        launches: Range<usize>,
        repeats: u32,
    ) -> Result<Vec<Duration>> {
        let count = 2 * launches.len() as u32;
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = u64::from(count) * TIMESTAMP_BYTES;
        let resolved = gpu.buffers.create(Purpose::Queries, bytes);
        let staging = gpu.buffers.create(Purpose::Staging, bytes);
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (index, launch) in (0..).zip(launches) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * index),
                    end_of_pass_write_index: Some(2 * index + 1),
                }),
            });
            self.launch(&mut pass, std::iter::repeat_n(launch, repeats as usize));
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
        let index = gpu.queue.submit([encoder.finish()]);
        let (sender, mapped) = futures::channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            _ = sender.send(result);
        });
        gpu.wait(Some(index))?;
        let mapped = mapped.await;
        gpu.check()?;
        if !matches!(mapped, Ok(Ok(()))) {
            return Err(Error::DeviceLost("its timestamps cannot be read".into()));
        }
        let lost = |error: wgpu::MapRangeError| Error::DeviceLost(error.to_string());
        let view = staging.slice(..).get_mapped_range().map_err(lost)?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
        let nanos = f64::from(gpu.queue.get_timestamp_period()) / f64::from(repeats);
        let took = |pair: &[u64]| {
            Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * nanos) as u64)
        };
        Ok(ticks.chunks_exact(2).map(took).collect())
    }
}

//! A finished pass, to be run any number of times.
//!
//! A run is one submit as long as the device is done with it quickly. Windows
//! resets a device that is busy for two seconds, so a longer run is split into
//! several submits, by the time its parts took before.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use web_time::{Duration, Instant};

use super::kernel::Pipeline;
use super::memory::{Buffer, Purpose};
use super::{Gpu, Tensor};
use crate::error::{Error, Result};

/// Longest submit to aim for.
const SUBMIT_TARGET: Duration = Duration::from_millis(100);
/// Launches of a submit whose time is not known yet.
const UNKNOWN_LAUNCHES: usize = 8;

pub(super) struct Launch {
    pub name: &'static str,
    pub pipeline: Rc<Pipeline>,
    pub tensors: wgpu::BindGroup,
    pub weight: Option<wgpu::BindGroup>,
    pub workgroups: [u32; 3],
}

/// Launches that share a submit, and how long they took.
#[derive(Clone, Debug)]
struct Part {
    launches: Range<usize>,
    took: Option<Duration>,
}

/// Prepared launches and the tensors that they end in.
pub struct Recording {
    launches: Vec<Launch>,
    results: Vec<Tensor>,
    /// Buffers for the host to read, of which every pending run has one of its own.
    staging: Rc<RefCell<Vec<Buffer>>>,
    /// The launches bind them.
    _params: Vec<Buffer>,
    parts: Rc<RefCell<Vec<Part>>>,
}

impl Recording {
    pub(super) fn new(launches: Vec<Launch>, params: Vec<Buffer>, results: Vec<Tensor>) -> Self {
        let starts = (0..launches.len()).step_by(UNKNOWN_LAUNCHES);
        let part = |start| Part {
            launches: start..launches.len().min(start + UNKNOWN_LAUNCHES),
            took: None,
        };
        let parts = Rc::new(RefCell::new(starts.map(part).collect()));
        Self {
            launches,
            results,
            staging: Rc::default(),
            _params: params,
            parts,
        }
    }

    /// The tensors that [`Pending::read`] gives, for later work on the device.
    pub fn results(&self) -> &[Tensor] {
        &self.results
    }

    /// The kernels, in the order they run.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.launches.iter().map(|launch| launch.name)
    }

    /// Submits that the next run takes.
    pub fn submits(&self) -> usize {
        self.parts.borrow().len().max(1)
    }

    /// Runs the launches, then copies the results for the host. Several runs may be pending: they run
    /// in order.
    pub fn submit(&self, gpu: &Gpu) -> Pending {
        self.submit_after(gpu, None)
    }

    /// [`Recording::submit`], with a result of an earlier run, which the host need not have seen,
    /// copied to an input first: `(from, to)`.
    pub fn submit_after(&self, gpu: &Gpu, copy: Option<(&Tensor, &Tensor)>) -> Pending {
        let parts = self.parts.borrow().clone();
        let mut submissions = Vec::with_capacity(parts.len());
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some((from, to)) = copy {
            from.copy_to_tensor(&mut encoder, to);
        }
        for (index, part) in parts.iter().enumerate() {
            self.encode(&mut encoder, part.launches.clone());
            if index + 1 < parts.len() {
                let next = gpu
                    .device
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let part = std::mem::replace(&mut encoder, next);
                submissions.push(gpu.submit_watched(part));
            }
        }
        let staging = self.staging.borrow_mut().pop();
        let staging = staging.unwrap_or_else(|| self.staging_buffer(gpu));
        let mut offset = 0;
        for result in &self.results {
            result.copy_to(&mut encoder, &staging, offset);
            offset += result.bytes();
        }
        let last = gpu.submit(encoder);
        let (sender, mapped) = futures::channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            _ = sender.send(result);
        });
        Pending {
            submissions,
            last,
            ran: parts.into_iter().map(|part| part.launches).collect(),
            mapped,
            staging,
            spare: Rc::clone(&self.staging),
            sizes: self
                .results
                .iter()
                .map(|result| result.bytes() as usize)
                .collect(),
            parts: Rc::clone(&self.parts),
        }
    }

    /// Makes the buffer that the first run will need.
    pub fn reserve(&self, gpu: &Gpu) {
        let buffer = self.staging_buffer(gpu);
        self.staging.borrow_mut().push(buffer);
    }

    fn staging_buffer(&self, gpu: &Gpu) -> Buffer {
        let bytes = self.results.iter().map(Tensor::bytes).sum::<u64>();
        gpu.buffers.create(Purpose::Staging, bytes.max(4))
    }

    /// How long each launch takes, `repeats` of it in a submit of their own.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub fn profile(&self, gpu: &Gpu, repeats: u32) -> Result<Vec<(&'static str, Duration)>> {
        let mut times = Vec::with_capacity(self.launches.len());
        for (index, launch) in self.launches.iter().enumerate() {
            let mut encoder = gpu
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.encode(&mut encoder, std::iter::repeat_n(index, repeats as usize));
            let submission = gpu.submit(encoder);
            gpu.wait(Some(submission.index))?;
            times.push((launch.name, submission.at.elapsed() / repeats));
        }
        gpu.check()?;
        Ok(times)
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, launches: impl Iterator<Item = usize>) {
        // One compute pass for all launches: opening one per launch costs more than many launches.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for launch in launches.map(|index| &self.launches[index]) {
            pass.set_pipeline(&launch.pipeline.pipeline);
            pass.set_bind_group(0, &launch.tensors, &[]);
            if let Some(weight) = &launch.weight {
                pass.set_bind_group(1, weight, &[]);
            }
            let [x, y, z] = launch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

struct Submission {
    index: wgpu::SubmissionIndex,
    at: Instant,
}

/// A submission that tells when it is over.
struct Watched {
    submission: Submission,
    done: futures::channel::oneshot::Receiver<()>,
}

impl Gpu {
    fn submit(&self, encoder: wgpu::CommandEncoder) -> Submission {
        let at = Instant::now();
        let index = self.queue.submit([encoder.finish()]);
        Submission { index, at }
    }

    fn submit_watched(&self, encoder: wgpu::CommandEncoder) -> Watched {
        let submission = self.submit(encoder);
        let (sender, done) = futures::channel::oneshot::channel();
        self.queue
            .on_submitted_work_done(move || _ = sender.send(()));
        Watched { submission, done }
    }

    /// How long a submission took that was just seen to be over: it started when it was made or when
    /// the one before it ended, whichever is later.
    fn took(&self, submission: &Submission) -> Duration {
        let now = Instant::now();
        let idle = self.idle.replace(Some(now));
        now - idle.map_or(submission.at, |idle| idle.max(submission.at))
    }
}

/// A run under way.
pub struct Pending {
    submissions: Vec<Watched>,
    /// The end of this one is seen by its results.
    last: Submission,
    /// The launches of each submission.
    ran: Vec<Range<usize>>,
    mapped: futures::channel::oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    staging: Buffer,
    /// Where the buffer goes afterwards.
    spare: Rc<RefCell<Vec<Buffer>>>,
    sizes: Vec<usize>,
    parts: Rc<RefCell<Vec<Part>>>,
}

impl Pending {
    /// The bytes of the results, once the run on `gpu` is over.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or whatever the driver reported.
    pub async fn read(mut self, gpu: &Gpu) -> Result<Vec<Vec<u8>>> {
        let mut took = Vec::with_capacity(self.submissions.len() + 1);
        for Watched { submission, done } in std::mem::take(&mut self.submissions) {
            gpu.wait(Some(submission.index.clone()))?;
            let lost = |_| Error::DeviceLost("it dropped a submission".into());
            done.await.map_err(lost)?;
            took.push(gpu.took(&submission));
        }
        gpu.wait(Some(self.last.index.clone()))?;
        let mapped = (&mut self.mapped).await;
        took.push(gpu.took(&self.last));
        gpu.check()?;
        if !matches!(mapped, Ok(Ok(()))) {
            return Err(Error::DeviceLost("its results cannot be read".into()));
        }
        learn(&mut self.parts.borrow_mut(), &self.ran, &took);
        let mut results = Vec::with_capacity(self.sizes.len());
        let lost = |error: wgpu::MapRangeError| Error::DeviceLost(error.to_string());
        let view = self.staging.slice(..).get_mapped_range().map_err(lost)?;
        let mut bytes = &view[..];
        for &size in &self.sizes {
            let (result, rest) = bytes.split_at(size);
            results.push(result.to_vec());
            bytes = rest;
        }
        Ok(results)
    }
}

impl Drop for Pending {
    /// Read or not, a later run copies into the same buffer.
    fn drop(&mut self) {
        self.staging.unmap();
        self.spare.borrow_mut().push(self.staging.clone());
    }
}

/// Groups `parts` anew by how long the submissions of `ran` took, unless a run that was submitted before
/// this one has already led to other parts: then these times say nothing of them.
fn learn(parts: &mut Vec<Part>, ran: &[Range<usize>], took: &[Duration]) {
    if parts.iter().map(|part| &part.launches).eq(ran) {
        *parts = regroup(parts, took);
    }
}

/// Joins neighbouring parts that fit one submit, and halves those that took too long.
fn regroup(parts: &[Part], took: &[Duration]) -> Vec<Part> {
    let mut grouped: Vec<Part> = Vec::new();
    for (part, &took) in parts.iter().zip(took) {
        // The least of all runs: a busy machine makes a part look longer than it is.
        let took = part.took.map_or(took, |before| before.min(took));
        let Range { start, end } = part.launches;
        if took > SUBMIT_TARGET && end - start > 1 {
            let middle = usize::midpoint(start, end);
            grouped.extend([start..middle, middle..end].map(|launches| Part {
                launches,
                took: None,
            }));
            continue;
        }
        match grouped.last_mut() {
            Some(Part {
                launches,
                took: Some(before),
            }) if *before + took <= SUBMIT_TARGET => {
                launches.end = end;
                *before += took;
            }
            _ => grouped.push(Part {
                launches: start..end,
                took: Some(took),
            }),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(launches: Range<usize>, millis: Option<u64>) -> Part {
        Part {
            launches,
            took: millis.map(Duration::from_millis),
        }
    }

    #[test]
    fn short_parts_become_one_submit() {
        let parts = [part(0..8, None), part(8..16, None), part(16..20, None)];
        let grouped = regroup(&parts, &[Duration::from_millis(10); 3]);
        assert_eq!(grouped.len(), 1);
        assert_eq!(grouped[0].launches, 0..20);
    }

    #[test]
    fn long_parts_are_split_until_they_are_short() {
        let grouped = regroup(&[part(0..8, None)], &[Duration::from_millis(400)]);
        assert_eq!(
            grouped
                .iter()
                .map(|part| part.launches.clone())
                .collect::<Vec<_>>(),
            [0..4, 4..8]
        );
        // A single launch cannot be split.
        assert_eq!(
            regroup(&[part(0..1, None)], &[Duration::from_millis(400)]).len(),
            1
        );
        // What was measured short stays so, even if one run is slow.
        assert_eq!(
            regroup(&[part(0..8, Some(20))], &[Duration::from_millis(400)]).len(),
            1
        );
    }

    #[test]
    fn times_of_other_parts_change_nothing() {
        // Two runs were under way when the first one's times split its only part.
        let mut parts = vec![part(0..8, None)];
        let ran: Vec<_> = parts.iter().map(|part| part.launches.clone()).collect();
        learn(&mut parts, &ran, &[Duration::from_millis(400)]);
        assert_eq!(parts.len(), 2);
        learn(&mut parts, &ran, &[Duration::from_millis(400)]);
        let launches: Vec<_> = parts.iter().map(|part| part.launches.clone()).collect();
        assert_eq!(launches, [0..4, 4..8]);
    }

    #[test]
    fn parts_are_joined_only_up_to_the_target() {
        let parts = [part(0..2, None), part(2..4, None), part(4..6, None)];
        let grouped = regroup(&parts, &[60, 50, 40].map(Duration::from_millis));
        assert_eq!(
            grouped
                .iter()
                .map(|part| part.launches.clone())
                .collect::<Vec<_>>(),
            [0..2, 2..6]
        );
    }
}

//! A finished pass, to be run any number of times.
//!
//! A run is one submit, or several where `parts` says so.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use web_time::{Duration, Instant};

use super::memory::{Buffer, Purpose};
use super::parts::{self, Part};
use super::pipelines::Pipeline;
use super::profile::Work;
use super::tuning::Question;
use super::{Gpu, Tensor};
use crate::error::{Error, Result};

pub(super) struct Launch {
    pub work: Work,
    pub pipeline: Arc<Pipeline>,
    pub tensors: wgpu::BindGroup,
    pub weight: Option<wgpu::BindGroup>,
    /// What its constants were chosen for, if there was a choice.
    pub choice: Option<Question>,
}

/// Words of a result that a later run takes as an input.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The result.
    pub from: &'a Tensor,
    /// The first word of it.
    pub first: usize,
    /// The input.
    pub to: &'a Tensor,
    /// Where the first word goes.
    pub place: usize,
    /// How many words.
    pub count: usize,
}

/// Prepared launches and the tensors that they end in.
pub struct Recording {
    pub(super) launches: Vec<Launch>,
    results: Vec<Tensor>,
    /// Buffers for the host to read, of which every pending run has one of its own.
    staging: Rc<RefCell<Vec<Buffer>>>,
    /// The launches bind them.
    _params: Vec<Buffer>,
    parts: Rc<RefCell<Vec<Part>>>,
}

impl Recording {
    pub(super) fn new(launches: Vec<Launch>, params: Vec<Buffer>, results: Vec<Tensor>) -> Self {
        let parts = Rc::new(RefCell::new(parts::unknown(launches.len())));
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
        self.launches.iter().map(|launch| launch.work.kernel)
    }

    /// Submits that the next run takes.
    pub fn submits(&self) -> usize {
        self.parts.borrow().len().max(1)
    }

    /// Runs the launches, then copies the results for the host. Several runs may be pending: they run
    /// in order.
    pub fn submit(&self, gpu: &Gpu) -> Pending {
        self.submit_fed(gpu, &[])
    }

    /// [`Recording::submit`], with results of earlier runs, which the host need not have seen,
    /// copied to inputs first.
    pub fn submit_fed(&self, gpu: &Gpu, feeds: &[Feed]) -> Pending {
        let parts = self.parts.borrow().clone();
        let mut submissions = Vec::with_capacity(parts.len());
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for feed in feeds {
            feed.copy(&mut encoder);
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

    /// The launches of each submit.
    pub(super) fn part_ranges(&self) -> Vec<Range<usize>> {
        let parts = self.parts.borrow();
        parts.iter().map(|part| part.launches.clone()).collect()
    }

    pub(super) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        launches: impl Iterator<Item = usize>,
    ) {
        // One compute pass for all launches: opening one per launch costs more than many launches.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.launch(&mut pass, launches);
    }

    pub(super) fn launch(
        &self,
        pass: &mut wgpu::ComputePass,
        launches: impl Iterator<Item = usize>,
    ) {
        for launch in launches.map(|index| &self.launches[index]) {
            pass.set_pipeline(launch.pipeline.compiled());
            pass.set_bind_group(0, &launch.tensors, &[]);
            if let Some(weight) = &launch.weight {
                pass.set_bind_group(1, weight, &[]);
            }
            let [x, y, z] = launch.work.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

pub(super) struct Submission {
    index: wgpu::SubmissionIndex,
    at: Instant,
}

/// A submission that tells when it is over.
pub(super) struct Watched {
    submission: Submission,
    done: futures::channel::oneshot::Receiver<()>,
}

impl Watched {
    /// How long it took, once it is over.
    pub(super) async fn took(self, gpu: &Gpu) -> Result<Duration> {
        gpu.wait(Some(self.submission.index))?;
        let lost = |_| Error::DeviceLost("it dropped a submission".into());
        self.done.await.map_err(lost)?;
        Ok(self.submission.at.elapsed())
    }
}

impl Gpu {
    fn submit(&self, encoder: wgpu::CommandEncoder) -> Submission {
        let at = Instant::now();
        let index = self.queue.submit([encoder.finish()]);
        self.submits.set(self.submits.get() + 1);
        Submission { index, at }
    }

    pub(super) fn submit_watched(&self, encoder: wgpu::CommandEncoder) -> Watched {
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
        parts::learn(&mut self.parts.borrow_mut(), &self.ran, &took);
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

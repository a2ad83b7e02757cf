//! The device: memory, kernels and launches. The only module that names wgpu.
//!
//! Work is recorded into a [`Pass`], finished into a [`Recording`] and run any
//! number of times. Nothing here knows what a model is.

mod adapter;
pub mod cache;
mod kernel;
mod layout;
mod memory;
mod pass;
mod recording;
mod tensor;
mod weight;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};

pub use adapter::{AdapterReport, DeviceOptions, Tiers};
pub use cache::{Cache, CacheType};
pub use kernel::Kernel;
pub use memory::Memory;
pub use pass::{Dispatch, Pass};
pub use recording::{Pending, Recording};
pub use tensor::Tensor;
pub use weight::{Shard, Weight, WeightWriter};

use kernel::{Pipeline, PipelineKey};
use layout::Layouts;
use memory::Buffers;
use tensor::Pool;

/// Whether the shaders are compiled by a browser.
const BROWSER: bool = cfg!(target_arch = "wasm32");

/// A device and its queue, with compiled kernels and spare buffers.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    /// The optional features in use.
    pub tiers: Tiers,
    /// Most bytes of one storage binding; tests lower it to see weights split.
    pub binding_limit: u64,
    pipelines: RefCell<HashMap<PipelineKey, Rc<Pipeline>>>,
    layouts: Layouts,
    buffers: Rc<Buffers>,
    pool: Rc<Pool>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// When the last submit that was waited for was seen to be over.
    idle: Cell<Option<web_time::Instant>>,
}

/// What the driver reported between two waits.
enum Fault {
    Lost(String),
    OutOfMemory,
    Other(String),
}

impl Gpu {
    /// Opens the adapter that `options` names.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with what was seen, if none fits.
    pub async fn open(options: &DeviceOptions) -> Result<Rc<Self>> {
        let instance = wgpu::Instance::default();
        let (adapter, report) = adapter::choose(&instance, options.device.as_deref()).await?;
        let tiers = options.tiers(&report);
        let mut features = wgpu::Features::empty();
        features.set(wgpu::Features::SUBGROUP, tiers.subgroup_size > 0);
        features.set(wgpu::Features::SHADER_F16, tiers.f16);
        features.set(wgpu::Features::SHADER_INT64, tiers.int64);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tiefsee"),
            required_features: features,
            required_limits: report.limits.clone(),
            ..Default::default()
        };
        let refused =
            |why| Error::NoAdapter(format!("{} refused to start: {why}", report.info.name));
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(refused)?;

        Ok(Self::new(device, queue, report, tiers, false))
    }

    /// A device that only counts what buffers take, as the adapter that `options` names would have them:
    /// nothing is stored, nothing runs, and no memory is used. Where there is no such adapter, or none is
    /// asked for, bindings may have any size.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if no adapter fits, [`Error::Internal`] where counting is not built in.
    pub async fn counting(options: Option<&DeviceOptions>) -> Result<Rc<Self>> {
        let mut counter = wgpu::InstanceDescriptor::new_without_display_handle();
        counter.backends = wgpu::Backends::NOOP;
        counter.backend_options.noop.enable = true;
        let internal = |what: String| Error::Internal(format!("nothing to count with: {what}"));
        let adapters = adapter::list(&wgpu::Instance::new(counter)).await;
        let Some((adapter, mut report)) = adapters.into_iter().next() else {
            return Err(internal("wgpu is built without its empty back end".into()));
        };
        let device = adapter.request_device(&wgpu::DeviceDescriptor::default());
        let (device, queue) = device.await.map_err(|why| internal(why.to_string()))?;
        let mut tiers = Tiers::default();
        if let Some(options) = options {
            let instance = wgpu::Instance::default();
            (_, report) = adapter::choose(&instance, options.device.as_deref()).await?;
            tiers = options.tiers(&report);
        } else {
            report.limits.max_storage_buffer_binding_size = u64::MAX;
            report.limits.max_buffer_size = u64::MAX;
        }
        Ok(Self::new(device, queue, report, tiers, true))
    }

    fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        report: AdapterReport,
        tiers: Tiers,
        counting: bool,
    ) -> Rc<Self> {
        let fault = Arc::new(Mutex::new(None));
        watch(&device, &fault);
        let buffers = Buffers::new(&device, counting);
        Rc::new(Self {
            layouts: Layouts::new(&device),
            pool: Pool::new(&buffers),
            buffers,
            binding_limit: report
                .limits
                .max_storage_buffer_binding_size
                .min(report.limits.max_buffer_size),
            device,
            queue,
            report,
            tiers,
            pipelines: RefCell::default(),
            fault,
            idle: Cell::new(None),
        })
    }

    /// Whether buffers are only counted.
    pub fn is_counting(&self) -> bool {
        self.buffers.counting
    }

    /// Gives buffers back that are of no use now: what runs next may need others.
    pub fn trim(&self) {
        self.pool.clear();
    }

    /// What the buffers that are alive take.
    pub fn memory(&self) -> Memory {
        self.buffers.memory()
    }

    /// Every adapter of this machine, best first.
    pub async fn adapters() -> Vec<AdapterReport> {
        let instance = wgpu::Instance::default();
        adapter::list(&instance)
            .await
            .into_iter()
            .map(|(_, report)| report)
            .collect()
    }

    /// The adapter this device belongs to.
    pub fn adapter(&self) -> &AdapterReport {
        &self.report
    }

    /// Turns whatever the driver reported since the last call into an error.
    pub fn check(&self) -> Result<()> {
        let failed = self
            .fault
            .lock()
            .expect("no thread panics while it holds the fault")
            .is_some();
        if failed {
            // Calls on a lost device fail before its loss is reported; the report comes with a poll.
            // The poll's own result says nothing that the report does not.
            _ = self.device.poll(wgpu::PollType::Poll);
        }
        let mut fault = self
            .fault
            .lock()
            .expect("no thread panics while it holds the fault");
        match &*fault {
            None => Ok(()),
            // A lost device stays lost.
            Some(Fault::Lost(why)) => Err(Error::DeviceLost(why.clone())),
            Some(Fault::OutOfMemory) => {
                *fault = None;
                Err(Error::DoesNotFit("the device is out of memory".into()))
            }
            Some(Fault::Other(_)) => {
                let Some(Fault::Other(what)) = fault.take() else {
                    unreachable!("matched above")
                };
                Err(Error::Internal(what))
            }
        }
    }

    /// Waits until the queue is empty, so that the host memory of finished uploads is free again.
    pub async fn flush(&self) -> Result<()> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        self.queue.submit([]);
        self.queue
            .on_submitted_work_done(move || _ = sender.send(()));
        self.wait(None)?;
        receiver
            .await
            .map_err(|_| Error::DeviceLost("it dropped a submission".into()))?;
        self.check()
    }

    /// Gives the device up as a driver reset would; whatever still runs on it fails.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Blocks until `submission` is done where the platform can block; the browser returns at once.
    fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let wait = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        match self.device.poll(wait) {
            Ok(_) => Ok(()),
            Err(error) => self.check().and(Err(Error::DeviceLost(error.to_string()))),
        }
    }
}

/// Notes in `fault` what the driver reports outside any call.
fn watch(device: &wgpu::Device, fault: &Arc<Mutex<Option<Fault>>>) {
    let lost = Arc::clone(fault);
    device.set_device_lost_callback(move |reason, message| {
        let why = if message.is_empty() {
            format!("{reason:?}")
        } else {
            message
        };
        *lost
            .lock()
            .expect("no thread panics while it holds the fault") = Some(Fault::Lost(why));
    });
    let other = Arc::clone(fault);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let mut fault = other
            .lock()
            .expect("no thread panics while it holds the fault");
        // The first fault is the cause, what follows are its consequences.
        fault.get_or_insert(match error {
            wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
            error => Fault::Other(error.to_string()),
        });
    }));
}

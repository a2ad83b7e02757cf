//! The device: memory, kernels and launches. The only module that names wgpu.
//!
//! Work is recorded into a [`Pass`], finished into a [`Recording`] and run any
//! number of times. Nothing here knows what a model is.

mod adapter;
pub mod cache;
mod driver_cache;
mod kernel;
mod layout;
mod learnt;
mod matrix;
mod memory;
mod parts;
mod pass;
mod pipelines;
mod profile;
mod recording;
mod store;
mod tensor;
#[cfg_attr(target_arch = "wasm32", path = "threads_none.rs")]
mod threads;
mod tuning;
mod weight;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};

pub use adapter::{AdapterReport, DeviceOptions, Tiers};
pub use cache::{Cache, CacheType};
pub use kernel::{Constant, Kernel};
pub use matrix::MatrixUnit;
pub use memory::Memory;
pub use pass::{Dispatch, Pass};
pub use profile::{Clock, Profile, WeightPart, Work};
pub use recording::{Feed, Pending, Recording};
pub use store::{FolderStore, Store};
pub use tensor::Tensor;
pub use weight::{Shard, Weight, WeightWriter};

use driver_cache::DriverCache;
use learnt::Learnt;
use memory::Buffers;
use pipelines::Pipelines;
use tensor::Pool;
use tuning::Tuning;

/// Whether the shaders are compiled by a browser.
const BROWSER: bool = cfg!(target_arch = "wasm32");

/// A device and its queue, with compiled kernels and spare buffers.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    /// The optional features in use.
    pub tiers: Tiers,
    /// What times launches.
    pub clock: Clock,
    /// Most bytes of one storage binding; tests lower it to see weights split.
    pub binding_limit: u64,
    /// Most storage bindings of a launch; tests lower it to what every device has.
    pub storage_bindings: usize,
    pipelines: Pipelines,
    driver_cache: Option<DriverCache>,
    tuning: Tuning,
    buffers: Rc<Buffers>,
    pool: Rc<Pool>,
    fault: Arc<Mutex<Option<Fault>>>,
    /// When the last submit that was waited for was seen to be over.
    idle: Cell<Option<web_time::Instant>>,
    submits: Cell<u64>,
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Submits of recordings.
    pub submits: u64,
    /// Buffers that were made.
    pub buffers: u64,
}

/// What a device has from earlier runs.
struct Kept {
    driver_cache: Option<DriverCache>,
    learnt: Rc<Learnt>,
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
        if options.store.is_some() {
            features |= adapter.features() & wgpu::Features::PIPELINE_CACHE;
        }
        // Browsers blur their timestamps.
        let timestamps = !BROWSER && adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        features.set(wgpu::Features::TIMESTAMP_QUERY, timestamps);
        let matrix = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        features.set(matrix, tiers.matrix.is_some());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tiefsee"),
            required_features: features,
            required_limits: report.limits.clone(),
            experimental_features: experimental(tiers),
            ..Default::default()
        };
        let refused =
            |why| Error::NoAdapter(format!("{} refused to start: {why}", report.info.name));
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(refused)?;

        let store = options.store.as_ref();
        let kept = Kept {
            driver_cache: store.and_then(|store| DriverCache::open(&device, &report, store)),
            learnt: Rc::new(Learnt::open(&report, store)),
        };
        Ok(Self::new((device, queue), report, tiers, kept, false))
    }

    /// A device that only counts what buffers take, as the adapter that `options` names would have them:
    /// nothing is stored, nothing runs, and no memory is used. Where there is no such adapter, or none is
    /// asked for, bindings may have any size.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if no adapter fits, [`Error::Internal`] where counting is not built in.
    pub async fn counting(options: Option<&DeviceOptions>) -> Result<Rc<Self>> {
        let (device, queue, mut report) = nothing().await?;
        let mut tiers = Tiers::default();
        if let Some(options) = options {
            let instance = wgpu::Instance::default();
            (_, report) = adapter::choose(&instance, options.device.as_deref()).await?;
            tiers = options.tiers(&report);
        } else {
            report.limits.max_storage_buffer_binding_size = u64::MAX;
            report.limits.max_buffer_size = u64::MAX;
        }
        let kept = Kept {
            driver_cache: None,
            learnt: Rc::new(Learnt::open(&report, None)),
        };
        Ok(Self::new((device, queue), report, tiers, kept, true))
    }

    /// A device that only counts, for rehearsing what this one will run: [`Gpu::compile_ahead`].
    ///
    /// # Errors
    /// [`Error::Internal`] where counting is not built in.
    pub async fn rehearsal(&self) -> Result<Rc<Self>> {
        let (device, queue, _) = nothing().await?;
        let (report, tiers) = (self.report.clone(), self.tiers);
        let kept = Kept {
            driver_cache: None,
            learnt: Rc::clone(&self.tuning.learnt),
        };
        let mut rehearsal = Self::new((device, queue), report, tiers, kept, true);
        if let Some(rehearsal) = Rc::get_mut(&mut rehearsal) {
            rehearsal.binding_limit = self.binding_limit;
        }
        Ok(rehearsal)
    }

    fn new(
        (device, queue): (wgpu::Device, wgpu::Queue),
        report: AdapterReport,
        tiers: Tiers,
        kept: Kept,
        counting: bool,
    ) -> Rc<Self> {
        let fault = Arc::new(Mutex::new(None));
        watch(&device, &fault);
        let buffers = Buffers::new(&device, counting);
        let has_timestamps = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Rc::new(Self {
            clock: if has_timestamps {
                Clock::Device
            } else {
                Clock::Host
            },
            pipelines: Pipelines::new(&device, kept.driver_cache.as_ref()),
            driver_cache: kept.driver_cache,
            tuning: Tuning::new(kept.learnt),
            pool: Pool::new(&buffers),
            buffers,
            binding_limit: report
                .limits
                .max_storage_buffer_binding_size
                .min(report.limits.max_buffer_size),
            storage_bindings: report.limits.max_storage_buffers_per_shader_stage as usize,
            device,
            queue,
            report,
            tiers,
            fault,
            idle: Cell::new(None),
            submits: Cell::default(),
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

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        Counts {
            submits: self.submits.get(),
            buffers: self.buffers.made.get(),
        }
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
            // Calls on a lost device fail before its loss is reported; the report comes with a poll, when
            // all that was under way is over. The poll's own result says nothing that the report does not.
            _ = self.device.poll(wgpu::PollType::wait_indefinitely());
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

/// A device that does nothing.
///
/// # Errors
/// [`Error::Internal`] where that is not built in.
async fn nothing() -> Result<(wgpu::Device, wgpu::Queue, AdapterReport)> {
    let internal = |what: String| Error::Internal(format!("nothing to count with: {what}"));
    if BROWSER {
        return Err(internal("browsers have real devices only".into()));
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop.enable = true;
    let adapters = adapter::list(&wgpu::Instance::new(descriptor)).await;
    let Some((adapter, report)) = adapters.into_iter().next() else {
        return Err(internal("wgpu is built without its empty back end".into()));
    };
    let device = adapter.request_device(&wgpu::DeviceDescriptor::default());
    let (device, queue) = device.await.map_err(|why| internal(why.to_string()))?;
    Ok((device, queue, report))
}

/// Leave to use matrix units, where they are used.
#[expect(
    unsafe_code,
    reason = "wgpu 30 has no safe way to allow an experimental feature: the caller takes it that wgpu may have \
              bugs there. Kernels load and store units inside arrays of their own or padded ones, their \
              translation is tested, and the self-test proves the results before they are used"
)]
fn experimental(tiers: Tiers) -> wgpu::ExperimentalFeatures {
    if tiers.matrix.is_some() {
        // SAFETY: as the reason above says; no other experimental feature is asked for.
        unsafe { wgpu::ExperimentalFeatures::enabled() }
    } else {
        wgpu::ExperimentalFeatures::disabled()
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

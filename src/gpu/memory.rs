//! Buffers, every byte of which is counted as long as it is alive.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

/// The most bytes of a buffer on a device that only counts.
const TOKEN_BYTES: u64 = 256;

/// Bytes of the buffers that are alive, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Weights, by the name of their format.
    pub weights: BTreeMap<&'static str, u64>,
    /// Tensors that stay: gains, the cache, what steps are fed.
    pub tensors: u64,
    /// Results of launches, in use and spare.
    pub scratch: u64,
    /// Parameters of launches and of weights.
    pub params: u64,
    /// What the host reads, and what timestamps are written to.
    pub staging: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        let weights: u64 = self.weights.values().sum();
        weights + self.tensors + self.scratch + self.params + self.staging
    }

    fn part(&mut self, purpose: Purpose) -> &mut u64 {
        match purpose {
            Purpose::Weight(format) => self.weights.entry(format).or_default(),
            Purpose::Tensor => &mut self.tensors,
            Purpose::Scratch => &mut self.scratch,
            Purpose::Params => &mut self.params,
            Purpose::Staging | Purpose::Queries => &mut self.staging,
        }
    }
}

/// What a buffer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A plane of a weight in the format of that name.
    Weight(&'static str),
    Tensor,
    Scratch,
    Params,
    Staging,
    /// Timestamps, on their way to the host.
    Queries,
}

impl Purpose {
    fn usage(self) -> wgpu::BufferUsages {
        let usage = match self {
            Self::Weight(_) => wgpu::BufferUsages::STORAGE,
            Self::Tensor | Self::Scratch => {
                wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC
            }
            Self::Params => wgpu::BufferUsages::UNIFORM,
            Self::Staging => wgpu::BufferUsages::MAP_READ,
            Self::Queries => wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
        };
        usage | wgpu::BufferUsages::COPY_DST
    }
}

/// Makes a device's buffers.
pub(super) struct Buffers {
    device: wgpu::Device,
    memory: RefCell<Memory>,
    /// How many were made.
    pub(super) made: Cell<u64>,
    /// Whether buffers are only counted: those that are made are tokens of the real ones.
    pub(super) counting: bool,
}

impl Buffers {
    pub(super) fn new(device: &wgpu::Device, counting: bool) -> Rc<Self> {
        Rc::new(Self {
            device: device.clone(),
            memory: RefCell::default(),
            made: Cell::default(),
            counting,
        })
    }

    pub(super) fn create(self: &Rc<Self>, purpose: Purpose, bytes: u64) -> Buffer {
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(match purpose {
                Purpose::Weight(format) => format,
                Purpose::Tensor => "tensor",
                Purpose::Scratch => "scratch",
                Purpose::Params => "params",
                Purpose::Staging => "read-back",
                Purpose::Queries => "timestamps",
            }),
            size: if self.counting {
                bytes.min(TOKEN_BYTES)
            } else {
                bytes
            },
            usage: purpose.usage(),
            mapped_at_creation: false,
        });
        *self.memory.borrow_mut().part(purpose) += bytes;
        self.made.set(self.made.get() + 1);
        Buffer(Rc::new(Counted {
            raw,
            bytes,
            purpose,
            owner: Rc::clone(self),
        }))
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.borrow().clone()
    }
}

/// A buffer of the device.
#[derive(Clone)]
pub(super) struct Buffer(Rc<Counted>);

struct Counted {
    raw: wgpu::Buffer,
    bytes: u64,
    purpose: Purpose,
    owner: Rc<Buffers>,
}

impl Buffer {
    /// Its bytes, which on a device that only counts are not there.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.raw
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.owner.memory.borrow_mut().part(self.purpose) -= self.bytes;
    }
}

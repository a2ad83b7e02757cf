//! Activations, and the pool that their buffers come from.
//!
//! A tensor's buffer goes back to the pool when the tensor is dropped and serves
//! a later launch: recorded work runs in order, so that is safe. Uploads do not
//! wait their turn, so a tensor that the host writes never takes a spare buffer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::memory::{Buffer, Buffers, Purpose};
use super::{Feed, Gpu};
use crate::error::{Error, Result};

/// A spare buffer is at most so many times twice as large as what it serves.
const MOST_SHIFT: u32 = 4;

/// Spare buffers by size.
pub(super) struct Pool {
    buffers: Rc<Buffers>,
    spare: RefCell<HashMap<u64, Vec<Buffer>>>,
}

impl Pool {
    pub(super) fn new(buffers: &Rc<Buffers>) -> Rc<Self> {
        Rc::new(Self {
            buffers: Rc::clone(buffers),
            spare: RefCell::default(),
        })
    }

    /// Gives spare buffers back to the driver.
    pub(super) fn clear(&self) {
        self.spare.borrow_mut().clear();
    }

    fn take(&self, bytes: u64) -> Buffer {
        // Powers of two, so that steps of different sizes share buffers.
        let size = bytes.max(256).next_power_of_two();
        let mut spare = self.spare.borrow_mut();
        // Those of a long step do for a shorter one, but not for a single token: a step's results keep theirs.
        let spare =
            (0..=MOST_SHIFT).find_map(|shift| spare.get_mut(&(size << shift)).and_then(Vec::pop));
        spare.unwrap_or_else(|| self.buffers.create(Purpose::Scratch, size))
    }
}

struct Storage {
    buffer: Buffer,
    /// Where the buffer goes afterwards; `None` for tensors that the host writes or that outlive a step.
    pool: Option<Rc<Pool>>,
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            let mut spare = pool.spare.borrow_mut();
            spare
                .entry(self.buffer.bytes())
                .or_default()
                .push(self.buffer.clone());
        }
    }
}

/// An array of 32-bit values with a shape: f32 activations, or u32 indices.
#[derive(Clone)]
pub struct Tensor {
    storage: Rc<Storage>,
    /// Bytes from the buffer's start.
    offset: u64,
    shape: Vec<usize>,
}

impl Tensor {
    /// A tensor that stays, for the host to write or to keep between steps; zeros at first.
    pub fn new(gpu: &Gpu, shape: &[usize]) -> Self {
        let bytes = 4 * shape.iter().product::<usize>() as u64;
        let buffer = gpu.buffers.create(Purpose::Tensor, bytes.max(4));
        Self {
            storage: Rc::new(Storage { buffer, pool: None }),
            offset: 0,
            shape: shape.to_vec(),
        }
    }

    /// A large tensor that stays; zeros at first.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if the device has no room for it.
    pub async fn reserve(gpu: &Gpu, shape: &[usize]) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let tensor = Self::new(gpu, shape);
        match scope.pop().await {
            None => Ok(tensor),
            Some(_) => Err(Error::DoesNotFit(format!(
                "the device has no room for {} bytes",
                tensor.bytes()
            ))),
        }
    }

    /// A tensor that stays, holding `values`.
    #[track_caller]
    pub fn upload<T: bytemuck::Pod>(gpu: &Gpu, shape: &[usize], values: &[T]) -> Self {
        let tensor = Self::new(gpu, shape);
        tensor.write(gpu, values);
        tensor
    }

    /// Room for a step's result, from the pool; its content is whatever was there.
    pub(super) fn scratch(gpu: &Gpu, shape: &[usize]) -> Self {
        let bytes = 4 * shape.iter().product::<usize>() as u64;
        let storage = Storage {
            buffer: gpu.pool.take(bytes),
            pool: Some(Rc::clone(&gpu.pool)),
        };
        Self {
            storage: Rc::new(storage),
            offset: 0,
            shape: shape.to_vec(),
        }
    }

    /// Overwrites the tensor before the next submit.
    #[track_caller]
    pub fn write<T: bytemuck::Pod>(&self, gpu: &Gpu, values: &[T]) {
        assert!(
            self.storage.pool.is_none(),
            "the host writes only to tensors of its own"
        );
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert_eq!(bytes.len() as u64, self.bytes(), "{self:?}");
        if gpu.is_counting() {
            return;
        }
        gpu.queue
            .write_buffer(&self.storage.buffer, self.offset, bytes);
    }

    /// `shape` at `offset` bytes of this tensor: a multiple of 256 if kernels use it, else of 4.
    #[must_use]
    #[track_caller]
    pub fn view(&self, offset: usize, shape: &[usize]) -> Self {
        let view = Self {
            storage: Rc::clone(&self.storage),
            offset: self.offset + offset as u64,
            shape: shape.to_vec(),
        };
        assert!(
            offset.is_multiple_of(4) && offset as u64 + view.bytes() <= self.bytes(),
            "{view:?} of {self:?}"
        );
        view
    }

    /// The same values in another shape.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Self {
        let reshaped = Self {
            storage: Rc::clone(&self.storage),
            offset: self.offset,
            shape: shape.to_vec(),
        };
        assert_eq!(reshaped.bytes(), self.bytes(), "{self:?} as {shape:?}");
        reshaped
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape of a tensor with `N` dimensions.
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        self.shape
            .as_slice()
            .try_into()
            .unwrap_or_else(|_| panic!("{self:?} where {N} dimensions are expected"))
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> u64 {
        4 * self.shape.iter().product::<usize>() as u64
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.storage.buffer,
            offset: self.offset,
            size: wgpu::BufferSize::new(self.bytes()),
        })
    }

    pub(super) fn copy_to(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::Buffer,
        offset: u64,
    ) {
        encoder.copy_buffer_to_buffer(
            &self.storage.buffer,
            self.offset,
            target,
            offset,
            self.bytes(),
        );
    }
}

impl Feed<'_> {
    #[track_caller]
    pub(super) fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        let Feed { from, to, .. } = *self;
        let [first, place, count] =
            [self.first, self.place, self.count].map(|words| 4 * words as u64);
        assert!(
            first + count <= from.bytes() && place + count <= to.bytes(),
            "{self:?}"
        );
        encoder.copy_buffer_to_buffer(
            &from.storage.buffer,
            from.offset + first,
            &to.storage.buffer,
            to.offset + place,
            count,
        );
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor {:?}", self.shape)
    }
}

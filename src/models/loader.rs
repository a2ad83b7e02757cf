//! Tensors of a checkpoint to weights on the device, a few rows at a time.

use std::cell::Cell;
use std::ops::Range;

use crate::checkpoint::{Checkpoint, Scope, StoredTensor};
use crate::error::Result;
use crate::formats::{self, Format};
use crate::gpu::{Gpu, Tensor, Weight, WeightWriter};
use crate::layers::{Linear, Mlp, RmsNorm};

/// Values read at a time, so that the host never holds more of a weight.
const SLAB: usize = 1 << 20;

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the checkpoint that are on the device.
    pub loaded: u64,
    /// Bytes of the checkpoint.
    pub total: u64,
}

/// Which weights are loaded, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightOptions {
    /// What projections are packed into; as stored if `None`.
    pub quantize: Option<&'static Format>,
    /// Whether a layer that predicts further tokens is loaded, where there is one.
    pub prediction: bool,
}

/// What an architecture loads its weights with.
pub struct Loader<'a> {
    /// Where the weights go.
    pub gpu: &'a Gpu,
    /// Where they come from.
    pub checkpoint: &'a Checkpoint,
    /// What projections are packed into; as stored if `None`.
    pub quantize: Option<&'static Format>,
    /// Whether a layer that predicts further tokens is loaded, where there is one.
    pub prediction: bool,
    /// Told of every slab.
    pub progress: &'a dyn Fn(Progress),
    /// Bytes of the checkpoint.
    total: u64,
    loaded: Cell<u64>,
}

/// Rows of a tensor that become rows of a weight.
pub struct Rows<'c> {
    tensor: StoredTensor<'c>,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<'c> Rows<'c> {
    /// All of `tensor`.
    pub fn all(tensor: StoredTensor<'c>) -> Self {
        Self {
            tensor,
            rows: 0..tensor.rows(),
            columns: 0..tensor.columns(),
        }
    }

    /// Some rows of `tensor`.
    pub fn some(tensor: StoredTensor<'c>, rows: Range<usize>) -> Self {
        Self {
            tensor,
            rows,
            columns: 0..tensor.columns(),
        }
    }

    /// Some columns of all rows of `tensor`.
    pub fn columns(tensor: StoredTensor<'c>, columns: Range<usize>) -> Self {
        Self {
            tensor,
            rows: 0..tensor.rows(),
            columns,
        }
    }
}

impl Rows<'_> {
    /// The format that they are kept in: as stored, if their columns are whole blocks of it.
    pub fn format(&self) -> &'static Format {
        match self.tensor.format() {
            None => &formats::F32,
            Some(format) if self.is_sliceable(format) || format.stored.is_some() => format,
            Some(_) => &formats::F16,
        }
    }

    fn is_whole(&self) -> bool {
        self.columns.len() == self.tensor.columns()
    }

    fn is_sliceable(&self, format: &Format) -> bool {
        let Range { start, end } = self.columns;
        self.is_whole() || start.is_multiple_of(format.block) && end.is_multiple_of(format.block)
    }

    /// The blocks of the part's columns, out of those of whole rows, and blocks of zeros up to `width` columns.
    fn slice_planes(&self, planes: Vec<Vec<u8>>, format: &Format, width: usize) -> Vec<Vec<u8>> {
        if self.is_whole() {
            return planes;
        }
        let blocks = |columns: usize| columns.div_ceil(format.block);
        let slice = |(plane, bytes): (Vec<u8>, &usize)| {
            let part = blocks(self.columns.start) * bytes..blocks(self.columns.end) * bytes;
            slices(
                &plane,
                blocks(self.tensor.columns()) * bytes,
                &part,
                blocks(width) * bytes,
            )
        };
        planes.into_iter().zip(format.planes).map(slice).collect()
    }

    /// The part's columns out of whole rows, and zeros up to `width` columns.
    fn slice_values(&self, values: Vec<f32>, width: usize) -> Vec<f32> {
        if self.is_whole() {
            return values;
        }
        slices(&values, self.tensor.columns(), &self.columns, width)
    }
}

impl<'a> Loader<'a> {
    /// A loader of what `options` say of `checkpoint` into `gpu`.
    pub fn new(
        gpu: &'a Gpu,
        checkpoint: &'a Checkpoint,
        options: WeightOptions,
        progress: &'a dyn Fn(Progress),
    ) -> Self {
        let WeightOptions {
            quantize,
            prediction,
        } = options;
        Self {
            gpu,
            checkpoint,
            quantize,
            prediction,
            progress,
            total: checkpoint.bytes(),
            loaded: Cell::new(0),
        }
    }

    /// A vector of f32: gains and biases.
    pub async fn vector(&self, scope: &Scope<'_>, name: &str, width: usize) -> Result<Tensor> {
        let values = self.values(scope, name, width).await?;
        Ok(Tensor::upload(self.gpu, &[width], &values))
    }

    /// The numbers of a vector; zeros if the device only counts.
    pub async fn values(&self, scope: &Scope<'_>, name: &str, width: usize) -> Result<Vec<f32>> {
        let tensor = scope.tensor(name, &[width])?;
        let values = if self.gpu.is_counting() {
            vec![0.0; width]
        } else {
            tensor.read_all().await?
        };
        self.advance(tensor.bytes());
        Ok(values)
    }

    /// A norm called `name`.
    pub async fn norm(
        &self,
        scope: &Scope<'_>,
        name: &str,
        width: usize,
        epsilon: f64,
    ) -> Result<RmsNorm> {
        let gain = self.vector(&scope.enter(name), "weight", width).await?;
        Ok(RmsNorm {
            gain,
            epsilon: epsilon as f32,
        })
    }

    /// The projection called `name`.
    pub async fn linear(
        &self,
        scope: &Scope<'_>,
        name: &str,
        [outer, inner]: [usize; 2],
    ) -> Result<Linear> {
        self.joined(scope, &[(name, outer)], inner).await
    }

    /// Several projections of the same input, one above the other.
    pub async fn joined(
        &self,
        scope: &Scope<'_>,
        parts: &[(&str, usize)],
        inner: usize,
    ) -> Result<Linear> {
        let rows = |&(name, outer): &(&str, usize)| {
            Ok(Rows::all(
                scope.enter(name).tensor("weight", &[outer, inner])?,
            ))
        };
        let parts = parts.iter().map(rows).collect::<Result<Vec<_>>>()?;
        Ok(Linear {
            weight: self.stack(1, parts, inner, self.quantize).await?,
        })
    }

    /// A gated feed-forward network.
    pub async fn mlp(&self, scope: &Scope<'_>, hidden: usize, intermediate: usize) -> Result<Mlp> {
        let parts = [("gate_proj", intermediate), ("up_proj", intermediate)];
        Ok(Mlp {
            gate_up: self.joined(scope, &parts, hidden).await?,
            down_proj: self
                .linear(scope, "down_proj", [hidden, intermediate])
                .await?,
        })
    }

    /// `count` matrices made of `parts` in order, packed into `format` or as stored.
    ///
    /// Parts of a matrix that are stored differently keep their formats if it is the only one; in a stack,
    /// whose matrices are read whole, they are decoded.
    pub async fn stack(
        &self,
        count: usize,
        parts: Vec<Rows<'_>>,
        columns: usize,
        format: Option<&'static Format>,
    ) -> Result<Weight> {
        let total: usize = parts.iter().map(|part| part.rows.len()).sum();
        let rows = total / count;
        let formats = match format {
            Some(format) => vec![format; parts.len()],
            None if count == 1 => parts.iter().map(Rows::format).collect(),
            None => matrix_formats(&parts, rows),
        };
        let mut sections = Vec::new();
        let mut left = parts.as_slice();
        for run in formats.chunk_by(|a, b| a == b) {
            let (parts, rest) = left.split_at(run.len());
            left = rest;
            let height: usize = parts.iter().map(|part| part.rows.len()).sum();
            let dims = if count == 1 {
                [1, height, columns]
            } else {
                [height / rows, rows, columns]
            };
            let mut writer = WeightWriter::new(self.gpu, run[0], dims).await?;
            for part in parts {
                self.copy(&mut writer, part, run[0], columns).await?;
            }
            sections.push(writer.finish());
        }
        Ok(Weight::join(self.gpu, sections))
    }

    async fn copy(
        &self,
        writer: &mut WeightWriter<'_>,
        part: &Rows<'_>,
        format: &Format,
        columns: usize,
    ) -> Result<()> {
        if writer.skip(part.rows.len()) {
            return Ok(());
        }
        let tensor = &part.tensor;
        let as_stored = tensor.format() == Some(format) && part.is_sliceable(format);
        let step = (SLAB / tensor.columns()).max(1);
        for first in part.rows.clone().step_by(step) {
            let rows = first..part.rows.end.min(first + step);
            let share = rows.len() as u64 * (part.columns.len() as u64) * tensor.bytes()
                / (tensor.rows() as u64 * tensor.columns() as u64);
            if as_stored {
                let planes = tensor.read_planes(rows).await?;
                let planes = part.slice_planes(planes, format, columns);
                writer.write_planes(&planes).await?;
            } else {
                let values = tensor.read_rows(rows).await?;
                writer.write(&part.slice_values(values, columns)).await?;
            }
            self.advance(share);
        }
        Ok(())
    }

    /// Adds `bytes` to what is loaded, and tells.
    pub fn advance(&self, bytes: u64) {
        let total = self.total;
        // A few rows may be read twice.
        self.loaded.set(total.min(self.loaded.get() + bytes));
        (self.progress)(Progress {
            loaded: self.loaded.get(),
            total,
        });
    }
}

/// `part` of each row of `row` values, filled up to `width`.
fn slices<T: Copy + Default>(all: &[T], row: usize, part: &Range<usize>, width: usize) -> Vec<T> {
    let mut slices = Vec::with_capacity(all.len() / row * width);
    for row in all.chunks_exact(row) {
        slices.extend_from_slice(&row[part.clone()]);
        slices.resize(slices.len() + width - part.len(), T::default());
    }
    slices
}

/// The format of each part of matrices of `rows` rows: that of its matrix, which all parts share.
fn matrix_formats(parts: &[Rows], rows: usize) -> Vec<&'static Format> {
    let mut formats = Vec::with_capacity(parts.len());
    let (mut first, mut height) = (0, 0);
    for (index, part) in parts.iter().enumerate() {
        height += part.rows.len();
        if height % rows == 0 {
            let matrix = &parts[first..=index];
            formats.resize(index + 1, shared_format(matrix));
            first = index + 1;
        }
    }
    formats
}

/// The format that keeps `parts` as they are; where they differ, one that holds what they decode to.
fn shared_format(parts: &[Rows]) -> &'static Format {
    let first = parts[0].format();
    if parts.iter().all(|part| part.format() == first) {
        return first;
    }
    let any_wide = parts.iter().any(|part| part.format() == &formats::F32);
    if any_wide {
        &formats::F32
    } else {
        &formats::F16
    }
}

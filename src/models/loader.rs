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

/// What an architecture loads its weights with.
pub struct Loader<'a> {
    /// Where the weights go.
    pub gpu: &'a Gpu,
    /// Where they come from.
    pub checkpoint: &'a Checkpoint,
    /// What projections are packed into; as stored if `None`.
    pub quantize: Option<&'static Format>,
    /// Told of every slab.
    pub progress: &'a dyn Fn(Progress),
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

impl<'a> Loader<'a> {
    /// A loader of `checkpoint` into `gpu`.
    pub fn new(
        gpu: &'a Gpu,
        checkpoint: &'a Checkpoint,
        quantize: Option<&'static Format>,
        progress: &'a dyn Fn(Progress),
    ) -> Self {
        Self {
            gpu,
            checkpoint,
            quantize,
            progress,
            loaded: Cell::new(0),
        }
    }

    /// A vector of f32: gains and biases.
    pub async fn vector(&self, scope: &Scope<'_>, name: &str, width: usize) -> Result<Tensor> {
        let tensor = scope.tensor(name, &[width])?;
        let values = tensor.read_all().await?;
        self.advance(tensor.bytes());
        Ok(Tensor::upload(self.gpu, &[width], &values))
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
    pub async fn stack(
        &self,
        count: usize,
        parts: Vec<Rows<'_>>,
        columns: usize,
        format: Option<&'static Format>,
    ) -> Result<Weight> {
        let total: usize = parts.iter().map(|part| part.rows.len()).sum();
        let format = format.unwrap_or_else(|| stored_format(&parts));
        let mut writer =
            WeightWriter::new(self.gpu, format, [count, total / count, columns]).await?;
        for part in &parts {
            self.copy(&mut writer, part, format).await?;
        }
        Ok(writer.finish())
    }

    async fn copy(
        &self,
        writer: &mut WeightWriter<'_>,
        part: &Rows<'_>,
        format: &Format,
    ) -> Result<()> {
        let tensor = &part.tensor;
        let whole = part.columns.len() == tensor.columns();
        let as_stored = whole && tensor.format() == Some(format);
        let step = (SLAB / tensor.columns()).max(1);
        for first in part.rows.clone().step_by(step) {
            let rows = first..part.rows.end.min(first + step);
            let share = rows.len() as u64 * (part.columns.len() as u64) * tensor.bytes()
                / (tensor.rows() * tensor.columns()) as u64;
            if as_stored {
                let planes = tensor.read_planes(rows).await?;
                writer.write_planes(&planes).await?;
            } else {
                let mut values = tensor.read_rows(rows).await?;
                if !whole {
                    let slice = |row: &[f32]| row[part.columns.clone()].to_vec();
                    values = values.chunks(tensor.columns()).flat_map(slice).collect();
                }
                writer.write(&values).await?;
            }
            self.advance(share);
        }
        Ok(())
    }

    /// Adds `bytes` to what is loaded, and tells.
    pub fn advance(&self, bytes: u64) {
        self.loaded.set(self.loaded.get() + bytes);
        (self.progress)(Progress {
            loaded: self.loaded.get(),
            total: self.checkpoint.bytes(),
        });
    }
}

/// The format that keeps `parts` as they are; f32 where they differ.
pub(super) fn stored_format(parts: &[Rows]) -> &'static Format {
    let first = parts.first().and_then(|part| part.tensor.format());
    let same = parts.iter().all(|part| part.tensor.format() == first);
    first.filter(|_| same).unwrap_or(&formats::F32)
}

//! Weights in some format, and the kernels that multiply with them or look rows up.

use super::trial::{Sizes, Trial, noise};
use crate::error::Result;
use crate::formats::Format;
use crate::gpu::{Gpu, Pass, Tensor, Weight, WeightWriter};
use crate::ops::{self, HeadSlices};
use crate::reference;

/// A prime, so that no tile or matrix repeats with them.
const DISTINCT: usize = 1021;

/// A weight, and the values that its format makes of it.
pub(super) struct Stored {
    pub weight: Weight,
    pub values: Vec<f32>, // [count, rows, columns]
}

impl Stored {
    /// Uploads noise. Many rows repeat after [`DISTINCT`] of them, for packing takes time.
    async fn noise(
        gpu: &Gpu,
        format: &'static Format,
        dims: [usize; 3],
        seed: u64,
    ) -> Result<Self> {
        let [count, rows, columns] = dims;
        let rows = count * rows;
        let distinct = rows.min(DISTINCT);
        let mut values = noise(distinct * columns, seed);
        // A row of zeros, and a weight that is far larger than its block.
        values[..columns].fill(0.0);
        values[columns + columns / 2] = 8.0;
        let whole = columns.next_multiple_of(format.block);
        let pad = |row: &[f32]| [row, &vec![0.0; whole - columns]].concat();
        let padded: Vec<f32> = values.chunks(columns).flat_map(pad).collect();
        let planes = (format.pack)(&padded);

        let mut writer = WeightWriter::new(gpu, format, dims).await?;
        for first in (0..rows).step_by(distinct) {
            let missing = (rows - first).min(distinct);
            let part = |plane: &Vec<u8>| plane[..plane.len() / distinct * missing].to_vec();
            writer
                .write_planes(&planes.iter().map(part).collect::<Vec<_>>())
                .await?;
        }
        let unpacked = (format.unpack)(&planes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let rows = unpacked.chunks(whole).cycle().take(rows);
        Ok(Self {
            weight: writer.finish(),
            values: rows.flat_map(|row| &row[..columns]).copied().collect(),
        })
    }

    pub(super) fn matrix(&self, index: usize) -> &[f32] {
        let size = self.weight.rows * self.weight.columns;
        &self.values[index * size..][..size]
    }

    fn trial(&self, inputs: &[&Tensor], result: Tensor, expected: Vec<f32>) -> Trial {
        let rows = result.shape()[0];
        let trial = Trial::of(inputs, result, expected);
        let operations = (2 * rows * self.values.len()) as u64;
        Trial {
            format: Some(self.weight.shards[0].format.name),
            bytes: trial.bytes + self.weight.bytes(),
            operations,
            ..trial
        }
    }
}

/// What the weights of one format are checked with.
pub(super) struct Weights {
    pub matrix: Stored,  // [outer, hidden]
    pub heads: Stored,   // [heads, latent, nope]
    pub gate_up: Stored, // [experts, 2 * intermediate, hidden]
    pub down: Stored,    // [experts, hidden, intermediate]
}

impl Weights {
    pub(super) async fn new(gpu: &Gpu, format: &'static Format, sizes: &Sizes) -> Result<Self> {
        let Sizes {
            hidden,
            outer,
            intermediate,
            experts,
            heads,
            nope,
            latent,
            ..
        } = *sizes;
        Ok(Self {
            matrix: Stored::noise(gpu, format, [1, outer, hidden], 20).await?,
            heads: Stored::noise(gpu, format, [heads, latent, nope], 21).await?,
            gate_up: Stored::noise(gpu, format, [experts, 2 * intermediate, hidden], 22).await?,
            down: Stored::noise(gpu, format, [experts, hidden, intermediate], 23).await?,
        })
    }
}

pub(super) fn embedding(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let table = &weights.matrix;
    let last = sizes.outer as u32 - 1;
    let wanted: Vec<u32> = [last, 0, 1, last]
        .into_iter()
        .chain(0..sizes.many as u32)
        .collect();
    let ids = Tensor::upload(pass.gpu, &[wanted.len()], &wanted);
    let y = ops::embedding(pass, &ids, &table.weight);
    let bytes =
        y.bytes() + (wanted.len() * table.weight.shards[0].format.row_bytes(sizes.hidden)) as u64;
    let expected = reference::embedding(&table.values, sizes.hidden, &wanted);
    Trial {
        bytes,
        operations: 0,
        ..table.trial(&[], y, expected)
    }
}

pub(super) fn matmul(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product(pass, sizes.few, &weights.matrix, ops::matmul_few)
}

pub(super) fn matmul_blocked(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product(pass, sizes.many, &weights.matrix, ops::matmul_blocked)
}

fn product(
    pass: &mut Pass,
    tokens: usize,
    matrix: &Stored,
    op: impl Fn(&mut Pass, &Tensor, &Weight) -> Tensor,
) -> Trial {
    let inner = matrix.weight.columns;
    let values = noise(tokens * inner, 24);
    let x = Tensor::upload(pass.gpu, &[tokens, inner], &values);
    let y = op(pass, &x, &matrix.weight);
    matrix.trial(&[&x], y, reference::matmul(&values, &matrix.values, inner))
}

pub(super) fn matmul_heads(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let Sizes {
        few: tokens,
        heads,
        nope,
        pairs,
        latent,
        ..
    } = *sizes;
    let stride = nope + 2 * pairs;
    // The rotary columns are copied behind the products, and zeros fill up.
    let width = latent + (2 * pairs).next_multiple_of(4) + 4;
    let values = noise(tokens * heads * stride, 25);
    let x = Tensor::upload(pass.gpu, &[tokens, heads, stride], &values);
    let y = ops::matmul_heads(
        pass,
        &x,
        &weights.heads.weight,
        HeadSlices { inner: nope, width },
    );
    let inner: Vec<f32> = values
        .chunks(stride)
        .flat_map(|head| head[..nope].to_vec())
        .collect();
    let products = reference::matmul_heads(&inner, &weights.heads.values, heads, nope);
    let zeros = vec![0.0; width - latent - 2 * pairs];
    let head = |(product, head): (&[f32], &[f32])| [product, &head[nope..], &zeros].concat();
    let expected = products
        .chunks(latent)
        .zip(values.chunks(stride))
        .flat_map(head)
        .collect();
    weights.heads.trial(&[&x], y, expected)
}

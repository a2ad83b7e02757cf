//! Weights in some format, and the kernels that multiply with them or look rows up.

use super::matrix;
use super::trial::{EXPONENTIAL, Sizes, Trial, noise};
use crate::error::Result;
use crate::formats::Format;
use crate::gpu::{Gpu, Pass, Tensor, Weight, WeightWriter};
use crate::ops::{self, HeadSlices, Input, Norm};
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

    pub(super) fn trial(&self, inputs: &[&Tensor], result: Tensor, expected: Vec<f32>) -> Trial {
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
    pub network: Stored, // [2 * intermediate, hidden]
    pub values: Stored,  // [heads, nope, latent]
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
            network: Stored::noise(gpu, format, [1, 2 * intermediate, hidden], 29).await?,
            values: Stored::noise(gpu, format, [heads, nope, latent], 26).await?,
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
        .chain((0..sizes.many as u32).map(|id| id % sizes.outer as u32))
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

pub(super) fn matmul_few_rows(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product(pass, sizes.few + 4, &weights.matrix, ops::matmul_few_rows)
}

pub(super) fn matmul_blocked(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product(pass, sizes.many, &weights.matrix, ops::matmul_blocked)
}

pub(super) fn matmul_matrix(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let unit = matrix::unit(pass);
    let op =
        |pass: &mut Pass, x: &Input, weight: &Weight| ops::matmul_matrix(pass, &x.x, weight, unit);
    product(pass, sizes.many, &weights.matrix, op)
}

fn product(
    pass: &mut Pass,
    tokens: usize,
    matrix: &Stored,
    op: impl Fn(&mut Pass, &Input, &Weight) -> Tensor,
) -> Trial {
    let inner = matrix.weight.columns;
    let values = noise(tokens * inner, 24);
    let x = Tensor::upload(pass.gpu, &[tokens, inner], &values);
    let y = op(pass, &Input::from(&x), &matrix.weight);
    matrix.trial(&[&x], y, reference::matmul(&values, &matrix.values, inner))
}

/// Rows that are normalised by what reads them, and what they are then.
pub(super) fn normed_rows(pass: &Pass, tokens: usize, width: usize) -> (Input, Vec<f32>) {
    let (values, gains) = (noise(tokens * width, 26), noise(width, 27));
    let input = Input {
        x: Tensor::upload(pass.gpu, &[tokens, width], &values),
        norm: Some(Norm {
            gain: Tensor::upload(pass.gpu, &[width], &gains),
            epsilon: 1e-6,
        }),
    };
    (input, reference::rms_norm(&values, &gains, 1e-6))
}

pub(super) fn matmul_normed_and_added(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let (tokens, matrix) = (1, &weights.matrix);
    let before = noise(tokens * sizes.outer, 28);
    let sum = Tensor::upload(pass.gpu, &[tokens, sizes.outer], &before);
    let (input, normed) = normed_rows(pass, tokens, sizes.hidden);
    ops::add_matmul(pass, &input, &matrix.weight, &sum);
    let product = reference::matmul(&normed, &matrix.values, sizes.hidden);
    matrix.trial(&[&input.x], sum, reference::add(&before, &product))
}

pub(super) fn gate_up(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let (input, normed) = normed_rows(pass, 1, sizes.hidden);
    let y = ops::gate_up(pass, &input, &weights.network.weight);
    let both = reference::matmul(&normed, &weights.network.values, sizes.hidden);
    let (gate, up) = both.split_at(sizes.intermediate);
    let trial = weights
        .network
        .trial(&[&input.x], y, reference::swiglu(gate, up));
    Trial {
        tolerance: EXPONENTIAL,
        ..trial
    }
}

pub(super) fn matmul_heads(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product_of_heads(pass, sizes, weights, sizes.few, ops::matmul_heads_few)
}

pub(super) fn matmul_heads_blocked(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    product_of_heads(pass, sizes, weights, sizes.many, ops::matmul_heads_blocked)
}

fn product_of_heads(
    pass: &mut Pass,
    sizes: &Sizes,
    weights: &Weights,
    tokens: usize,
    op: impl Fn(&mut Pass, &Tensor, &Weight, HeadSlices) -> Tensor,
) -> Trial {
    let Sizes {
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
    let slices = HeadSlices { inner: nope, width };
    let y = op(pass, &x, &weights.heads.weight, slices);
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

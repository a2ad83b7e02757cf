//! Sequences in a cache whose blocks lie anywhere, and tokens that attend to them.

use tiefsee::gpu::{Gpu, Pass, Tensor};
use tiefsee::ops::{Keys, Splits};

use crate::common::{noise, run_f32, shuffled};

pub(crate) const BLOCK: usize = 16;
pub(crate) const WHOLE: Splits = Splits {
    count: 1,
    keys: 128,
};
/// What lies in slots that nobody may read, and in results that nobody wrote.
pub(crate) const POISON: f32 = f32::NAN;

/// How queries and keys are chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scores {
    /// Small and all different.
    Noise,
    /// All equal: the result is the mean of the values.
    Equal,
    /// Exact in f32, thousands apart: one key outweighs all others.
    Huge,
}

/// Sizes of queries and of the cache's rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub heads: usize,
    /// Columns of a head's query.
    pub query: usize,
    /// Columns of a row of the cache.
    pub width: usize,
}

/// Sequences in a cache, and the tokens that attend.
pub(crate) struct Context {
    pub rows: Rows,
    pub q: Vec<f32>,
    pub cache: Vec<f32>,
    pub positions: Vec<u32>,
    pub sequences: Vec<u32>,
    pub blocks: Vec<u32>,
    pub blocks_per_sequence: usize,
    pub visible: Vec<Vec<usize>>,
    pub scale: f32,
}

impl Context {
    /// The first, the middle and the last token of sequences of the given `lengths`.
    pub(crate) fn new(rows: Rows, lengths: &[usize], scores: Scores) -> Self {
        let Rows {
            heads,
            query,
            width,
        } = rows;
        let blocks_per_sequence = lengths.iter().max().unwrap().div_ceil(BLOCK) + 1;
        let count = blocks_per_sequence * lengths.len();
        let blocks = shuffled(count, 40);
        let mut cache = vec![POISON; count * BLOCK * width];
        let (mut positions, mut sequences, mut visible) = (vec![], vec![], vec![]);
        for (sequence, &length) in lengths.iter().enumerate() {
            let slot = |key: usize| {
                let block = blocks[sequence * blocks_per_sequence + key / BLOCK];
                block as usize * BLOCK + key % BLOCK
            };
            let keys = noise(length * width, 41 + sequence as u64);
            for (key, row) in keys.chunks(width).enumerate() {
                let eighths = row.iter().map(|value| (value * 8.0).round() / 8.0);
                cache[slot(key) * width..]
                    .iter_mut()
                    .zip(eighths)
                    .for_each(|(at, value)| *at = value);
            }
            let mut own = vec![0, length / 2, length - 1];
            own.dedup();
            for position in own {
                positions.push(position as u32);
                sequences.push(sequence as u32);
                visible.push((0..=position).map(slot).collect());
            }
        }
        let mut q = noise(positions.len() * heads * query, 42);
        let scale = match scores {
            Scores::Noise => (query as f32).powf(-0.5),
            Scores::Equal => 0.0,
            Scores::Huge => {
                for value in &mut q {
                    *value = (*value * 8.0).round() * 64.0;
                }
                1.0
            }
        };
        Self {
            rows,
            q,
            cache,
            positions,
            sequences,
            blocks,
            blocks_per_sequence,
            visible,
            scale,
        }
    }

    /// What `attend` makes of the queries and the keys.
    pub(crate) fn run(
        &self,
        gpu: &Gpu,
        attend: impl FnOnce(&mut Pass, &Tensor, &Keys) -> Tensor,
    ) -> Vec<f32> {
        let Rows {
            heads,
            query,
            width,
        } = self.rows;
        let tokens = self.positions.len();
        let sequences = self.blocks.len() / self.blocks_per_sequence;
        run_f32(gpu, |pass| {
            let keys = Keys {
                cache: &Tensor::upload(gpu, &[self.cache.len() / width, width], &self.cache),
                positions: &Tensor::upload(gpu, &[tokens], &self.positions),
                sequences: &Tensor::upload(gpu, &[tokens], &self.sequences),
                blocks: &Tensor::upload(gpu, &[sequences, self.blocks_per_sequence], &self.blocks),
                block: BLOCK,
            };
            let q = Tensor::upload(gpu, &[tokens, heads, query], &self.q);
            attend(pass, &q, &keys)
        })
    }
}

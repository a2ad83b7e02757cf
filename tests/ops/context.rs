//! Sequences in a cache whose blocks lie anywhere, and tokens that attend to them.

use tiefsee::gpu::{Cache, CacheType, Gpu, Pass, Tensor, cache};
use tiefsee::ops::{Keys, Splits};

use crate::common::{floats, noise, run, shuffled};
use crate::reference::stored_row;

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

/// The types of cache for such scores: steps of bytes are no exact numbers.
pub(crate) fn kinds(scores: Scores) -> Vec<&'static CacheType> {
    let exact = |kind: &&&CacheType| kind.name != "q8_0" || !matches!(scores, Scores::Huge);
    cache::ALL.iter().filter(exact).copied().collect()
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
    pub kind: &'static CacheType,
    words: Vec<u32>,
    pub positions: Vec<u32>,
    pub sequences: Vec<u32>,
    pub blocks: Vec<u32>,
    pub blocks_per_sequence: usize,
    pub visible: Vec<Vec<usize>>,
    pub scale: f32,
}

impl Context {
    /// The first, the middle and the last token of sequences of the given `lengths`. Rows that
    /// somebody may read hold what a cache of a `kind` makes of them.
    pub(crate) fn new(
        rows: Rows,
        kind: &'static CacheType,
        lengths: &[usize],
        scores: Scores,
    ) -> Self {
        let Rows {
            heads,
            query,
            width,
        } = rows;
        let blocks_per_sequence = lengths.iter().max().unwrap().div_ceil(BLOCK) + 1;
        let count = blocks_per_sequence * lengths.len();
        let blocks = shuffled(count, 40);
        let mut cache = vec![POISON; count * BLOCK * width];
        let row_words = kind.row_words(width);
        let mut words = vec![u32::MAX; count * BLOCK * row_words];
        let (mut positions, mut sequences, mut visible) = (vec![], vec![], vec![]);
        for (sequence, &length) in lengths.iter().enumerate() {
            let slot = |key: usize| {
                let block = blocks[sequence * blocks_per_sequence + key / BLOCK];
                block as usize * BLOCK + key % BLOCK
            };
            let keys = noise(length * width, 41 + sequence as u64);
            for (key, row) in keys.chunks(width).enumerate() {
                let eighths = row.iter().map(|value| (value * 8.0).round() / 8.0);
                let stored = stored_row(kind.name, &eighths.collect::<Vec<_>>());
                cache[slot(key) * width..][..width].copy_from_slice(&stored.values);
                words[slot(key) * row_words..][..row_words].copy_from_slice(&stored.words);
            }
            let mut own = vec![0, length / 2, length - 1];
            own.dedup();
            for position in own {
                positions.push(position as u32);
                sequences.push(sequence as u32);
                visible.push((0..=position).map(slot).collect());
            }
        }
        let (q, scale) = queries(positions.len() * heads * query, query, scores);
        Self {
            rows,
            q,
            cache,
            kind,
            words,
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
        attend: impl FnOnce(&mut Pass, &Tensor, &Keys) -> Vec<Tensor>,
    ) -> Vec<Vec<f32>> {
        let Rows {
            heads,
            query,
            width,
        } = self.rows;
        let tokens = self.positions.len();
        let sequences = self.blocks.len() / self.blocks_per_sequence;
        let results = run(gpu, |pass| {
            let row_words = self.kind.row_words(width);
            let slots = self.words.len() / row_words;
            let cache = Cache {
                rows: Tensor::upload(gpu, &[slots, row_words], &self.words),
                width,
                kind: self.kind,
            };
            let keys = Keys {
                cache: &cache,
                positions: &Tensor::upload(gpu, &[tokens], &self.positions),
                sequences: &Tensor::upload(gpu, &[tokens], &self.sequences),
                blocks: &Tensor::upload(gpu, &[sequences, self.blocks_per_sequence], &self.blocks),
                block: BLOCK,
            };
            let q = Tensor::upload(gpu, &[tokens, heads, query], &self.q);
            attend(pass, &q, &keys)
        });
        results.iter().map(|bytes| floats(bytes)).collect()
    }
}

/// That many numbers of queries, and what scores are multiplied with.
fn queries(count: usize, width: usize, scores: Scores) -> (Vec<f32>, f32) {
    let mut q = noise(count, 42);
    let scale = match scores {
        Scores::Noise => (width as f32).powf(-0.5),
        Scores::Equal => 0.0,
        Scores::Huge => {
            for value in &mut q {
                *value = (*value * 8.0).round() * 64.0;
            }
            1.0
        }
    };
    (q, scale)
}

//! What attention attends to.

use super::trial::{Sizes, noise};
use crate::gpu::{Gpu, Tensor};
use crate::ops::Keys;

/// Slots of a cache block.
const BLOCK: usize = 32;
/// What nobody may read into a result.
const POISON: f32 = 1e30;

/// Sequences in a cache whose blocks lie anywhere, and a token of each: the first, one in
/// the middle, or the last.
pub(super) struct Context {
    pub q: Tensor,     // [tokens, heads, query]
    cache: Tensor,     // [slots, width]
    positions: Tensor, // [tokens] of u32
    sequences: Tensor, // [tokens] of u32
    blocks: Tensor,    // [sequences, blocks_per_sequence] of u32
    pub scale: f32,
    /// Keys of all tokens.
    pub count: usize,
    values: [Vec<f32>; 2],
    visible: Vec<Vec<usize>>,
}

/// Where each token of [`Context`] stands.
pub(super) fn token_positions(sizes: &Sizes) -> Vec<usize> {
    let last = sizes.context - 1;
    (0..sizes.few)
        .map(|token| [last, 0, last / 2][token % 3])
        .collect()
}

/// The fewest keys of a split, so that there are more than the splits can have.
pub(super) fn split_keys(sizes: &Sizes) -> usize {
    sizes.context / sizes.splits - 1
}

impl Context {
    /// `query` columns of a head's query, `width` of a row of the cache.
    pub(super) fn new(gpu: &Gpu, sizes: &Sizes, [query, width]: [usize; 2]) -> Self {
        let Sizes {
            few: tokens,
            heads,
            context,
            ..
        } = *sizes;
        let per_sequence = context.div_ceil(BLOCK);
        let count = tokens * per_sequence;
        // Back to front, so that neighbours are apart.
        let blocks: Vec<u32> = (0..count as u32).rev().collect();
        let slot = |sequence: usize, position: usize| {
            blocks[sequence * per_sequence + position / BLOCK] as usize * BLOCK + position % BLOCK
        };
        let positions = token_positions(sizes);
        let mut cache = vec![POISON; count * BLOCK * width];
        let mut visible = Vec::new();
        for (sequence, &position) in positions.iter().enumerate() {
            let rows: Vec<usize> = (0..=position)
                .map(|position| slot(sequence, position))
                .collect();
            let values = noise(rows.len() * width, 43 + sequence as u64);
            for (row, values) in rows.iter().zip(values.chunks(width)) {
                cache[row * width..][..width].copy_from_slice(values);
            }
            visible.push(rows);
        }
        let q = noise(tokens * heads * query, 50);
        let to_u32 = |values: Vec<usize>| {
            values
                .into_iter()
                .map(|value| value as u32)
                .collect::<Vec<_>>()
        };
        Self {
            q: Tensor::upload(gpu, &[tokens, heads, query], &q),
            cache: Tensor::upload(gpu, &[count * BLOCK, width], &cache),
            positions: Tensor::upload(gpu, &[tokens], &to_u32(positions)),
            sequences: Tensor::upload(gpu, &[tokens], &to_u32((0..tokens).collect())),
            blocks: Tensor::upload(gpu, &[tokens, per_sequence], &blocks),
            // Scores several apart: later ones often outweigh all before.
            scale: 8.0 / (query as f32).sqrt(),
            count: visible.iter().map(Vec::len).sum(),
            values: [q, cache],
            visible,
        }
    }

    pub(super) fn keys(&self) -> Keys<'_> {
        Keys {
            cache: &self.cache,
            positions: &self.positions,
            sequences: &self.sequences,
            blocks: &self.blocks,
            block: BLOCK,
        }
    }

    /// What a reference makes of queries, cache, the rows that each token sees, and scale.
    pub(super) fn expect(
        &self,
        attend: impl FnOnce(&[f32], &[f32], &[Vec<usize>], f64) -> Vec<f32>,
    ) -> Vec<f32> {
        let [q, cache] = &self.values;
        attend(q, cache, &self.visible, f64::from(self.scale))
    }
}

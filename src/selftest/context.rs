//! What attention attends to.

use super::trial::{Expected, Sizes, Trial, noise};
use crate::gpu::{Cache, CacheType, Gpu, Pass, Tensor, cache};
use crate::ops::{self, JoinedHeads, Keys, Pairing, RopeColumns};
use crate::reference::stored_row;

/// Slots of a cache block.
const BLOCK: usize = 32;
/// What nobody may read into a result.
const POISON: f32 = 1e30;

/// Sequences in a cache whose blocks lie anywhere, and a token of each: the first, one in
/// the middle, or the last.
pub(super) struct Context {
    pub q: Tensor,     // [tokens, heads, query]
    cache: Cache,      // [slots, width]
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
    pub(super) fn new(
        gpu: &Gpu,
        sizes: &Sizes,
        kind: &'static CacheType,
        [query, width]: [usize; 2],
    ) -> Self {
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
        let row_words = kind.row_words(width);
        let mut words = vec![POISON.to_bits(); count * BLOCK * row_words];
        let mut visible = Vec::new();
        for (sequence, &position) in positions.iter().enumerate() {
            let rows: Vec<usize> = (0..=position)
                .map(|position| slot(sequence, position))
                .collect();
            let values = noise(rows.len() * width, 43 + sequence as u64);
            for (row, values) in rows.iter().zip(values.chunks(width)) {
                let stored = stored_row(kind.name, values);
                cache[row * width..][..width].copy_from_slice(&stored.values);
                words[row * row_words..][..row_words].copy_from_slice(&stored.words);
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
            cache: Cache {
                rows: Tensor::upload(gpu, &[count * BLOCK, row_words], &words),
                width,
                kind,
            },
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
    pub(super) fn expect<T>(
        &self,
        attend: impl FnOnce(&[f32], &[f32], &[Vec<usize>], f64) -> T,
    ) -> T {
        let [q, cache] = &self.values;
        attend(q, cache, &self.visible, f64::from(self.scale))
    }
}

/// The name of a cache's type, where kernels do not read numbers as they are.
pub(super) fn packed(kind: &CacheType) -> Option<&'static str> {
    (*kind != cache::F32).then_some(kind.name)
}

/// Rows to half precision: the largest and the smallest, ties, and what rounds to zero.
pub(super) fn pack_rows_to_f16(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let exponents = noise(sizes.many * width(sizes), 61);
    let fractions = noise(sizes.many * width(sizes), 62);
    let mut x: Vec<f32> = exponents
        .iter()
        .zip(fractions)
        .map(|(exponent, fraction)| fraction * (20.0 * exponent).exp2())
        .collect();
    let edges = [
        1e9,
        -65_519.0,
        65_520.0,
        1.000_488_3,
        1.001_464_8,
        3e-8,
        -2.9e-8,
        0.0,
    ];
    x[..edges.len()].copy_from_slice(&edges);
    pack_rows(pass, sizes, &cache::F16, &x)
}

/// Rows to bytes. No number is half a step from another, which devices may round either way.
pub(super) fn pack_rows_to_q8_0(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let steps = noise(sizes.many * width(sizes), 63);
    let off = noise(sizes.many * width(sizes), 64);
    let mut x: Vec<f32> = steps
        .iter()
        .zip(off)
        .map(|(step, off)| (step * 126.0).round() + 0.3 * off)
        .collect();
    for (row, x) in x.chunks_mut(width(sizes)).enumerate() {
        for (block, x) in x.chunks_mut(32).enumerate() {
            x[(row + block) % x.len()] = if row % 2 == 0 { 127.0 } else { -127.0 };
            let factor = [1.0, 0.37, 0.0, 1e-4][(row + block) % 4];
            for value in x {
                *value *= factor;
            }
        }
    }
    pack_rows(pass, sizes, &cache::Q8_0, &x)
}

/// Columns of the rows: heads of values, which are stored as they are.
fn width(sizes: &Sizes) -> usize {
    2 * sizes.head_dim.next_multiple_of(8)
}

/// By the kernel that stores heads.
fn pack_rows(pass: &mut Pass, sizes: &Sizes, kind: &'static CacheType, x: &[f32]) -> Trial {
    let (tokens, width) = (sizes.many, width(sizes));
    let count = tokens + 3;
    let row_words = kind.row_words(2 * width);
    let places: Vec<u32> = (0..tokens)
        .map(|token| (count - 1 - token) as u32)
        .collect();
    let mut expected = vec![7; count * row_words];
    let cache = Cache {
        rows: Tensor::upload(pass.gpu, &[count, row_words], &expected),
        width: 2 * width,
        kind,
    };
    for (row, &place) in x.chunks(width).zip(&places) {
        // Keys of zeros, whose queries are zeros, too.
        let stored = stored_row(kind.name, &[&vec![0.0; width], row].concat());
        expected[place as usize * row_words..][..row_words].copy_from_slice(&stored.words);
    }
    let joined = JoinedHeads {
        heads: 2,
        kv_heads: 2,
        bias: None,
        norms: None,
        rotary: RopeColumns {
            offset: 0,
            pairing: Pairing::Interleaved,
        },
    };
    let rows = x.chunks(width);
    let x: Vec<f32> = rows
        .flat_map(|row| [&vec![0.0; 2 * width], row].concat())
        .collect();
    let x = Tensor::upload(pass.gpu, &[tokens, 3 * width], &x);
    let slots = Tensor::upload(pass.gpu, &[tokens], &places);
    let rotations = Tensor::upload(pass.gpu, &[tokens, 1, 2], &vec![0f32; 2 * tokens]);
    ops::store_heads(pass, &x, &joined, &rotations, &slots, &cache);
    Trial {
        format: packed(kind),
        bytes: x.bytes() + (4 * tokens * row_words) as u64,
        results: vec![(cache.rows, Expected::Integers(expected))],
        ..Trial::of(&[], x, Vec::new())
    }
}

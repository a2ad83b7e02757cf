//! The tokens of one step, as tensors that the host writes in one upload.

use super::Rotary;
use crate::gpu::{Cache, Gpu, Tensor, Tiers};
use crate::ops::{Keys, Splits};

/// What one layer's attention keeps of cached tokens.
pub struct LayerCache {
    /// A row per slot: whatever the attention keeps there.
    pub rows: Cache, // [slots, width]
    /// The same of an indexer, if the layer has one.
    pub index: Option<Cache>, // [slots, index width]
}

/// Neighbouring tokens of one sequence that are run in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Their ids.
    pub tokens: Vec<u32>,
    /// The position of the first.
    pub start: usize,
    /// The cache blocks of the sequence, in order of position.
    pub blocks: Vec<u32>,
    /// How many of the last tokens want scores.
    pub outputs: usize,
}

/// What a recording of a step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchShape {
    /// Tokens of all sequences.
    pub tokens: usize,
    /// Sequences.
    pub sequences: usize,
    /// Tokens that want scores.
    pub outputs: usize,
    /// Blocks that a sequence may have.
    pub blocks_per_sequence: usize,
    /// Slots of a block.
    pub block: usize,
}

/// The tokens of one step: everything that changes from step to step.
pub struct Batch {
    /// What the tensors were made for.
    pub shape: BatchShape,
    /// Slots of a block.
    pub block: usize,
    /// Token ids.
    pub ids: Tensor, // [tokens] of u32
    /// Places in the tokens' sequences.
    pub positions: Tensor, // [tokens] of u32
    /// Rows of the cache that the tokens go to.
    pub slots: Tensor, // [tokens] of u32
    /// Rows of `blocks` that the tokens belong to.
    pub sequences: Tensor, // [tokens] of u32
    /// Where the blocks of each sequence lie.
    pub blocks: Tensor, // [sequences, blocks_per_sequence] of u32
    /// Tokens that want scores.
    pub outputs: Tensor, // [outputs] of u32
    /// Cosines and sines of the tokens' angles.
    pub rotations: Tensor, // [tokens, pairs, 2]
    all: Tensor,
}

/// Tensors start at multiples of this many values: every device can bind a buffer there.
const ALIGNMENT: usize = 64;
/// Most tokens whose context is split over several workgroups; more keep the device busy anyway.
const SPLIT_TOKENS: usize = 8;

impl Batch {
    /// Tensors for steps of `shape`, for a model with `pairs` pairs of rotary columns.
    pub fn new(gpu: &Gpu, shape: BatchShape, pairs: usize) -> Self {
        let BatchShape {
            tokens,
            sequences,
            outputs,
            blocks_per_sequence,
            block,
        } = shape;
        let shapes = [
            vec![tokens],
            vec![tokens],
            vec![tokens],
            vec![tokens],
            vec![sequences, blocks_per_sequence],
            vec![outputs],
            vec![tokens, pairs, 2],
        ];
        let values =
            |shape: &Vec<usize>| shape.iter().product::<usize>().next_multiple_of(ALIGNMENT);
        let all = Tensor::new(gpu, &[shapes.iter().map(values).sum()]);
        let mut offset = 0;
        let [
            ids,
            positions,
            slots,
            token_sequences,
            blocks,
            outputs,
            rotations,
        ] = shapes.map(|shape| {
            let view = all.view(4 * offset, &shape);
            offset += values(&shape);
            view
        });
        Self {
            shape,
            block,
            ids,
            positions,
            slots,
            sequences: token_sequences,
            blocks,
            outputs,
            rotations,
            all,
        }
    }

    /// The shape of a step of `spans`.
    pub fn shape_of(spans: &[Span], blocks_per_sequence: usize, block: usize) -> BatchShape {
        BatchShape {
            tokens: spans.iter().map(|span| span.tokens.len()).sum(),
            sequences: spans.len(),
            outputs: spans.iter().map(|span| span.outputs).sum(),
            blocks_per_sequence,
            block,
        }
    }

    /// The rows of a cache up to the tokens' positions.
    pub fn keys<'a>(&'a self, cache: &'a Cache) -> Keys<'a> {
        Keys {
            cache,
            positions: &self.positions,
            sequences: &self.sequences,
            blocks: &self.blocks,
            block: self.block,
        }
    }

    /// How a token's context is shared among workgroups.
    pub fn splits(&self, tiers: Tiers) -> Splits {
        let most = if tiers.software { 8 } else { 16 };
        let count = if self.shape.tokens <= SPLIT_TOKENS {
            most
        } else {
            1
        };
        Splits { count, keys: 128 }
    }

    /// Uploads the tokens of the next step.
    #[track_caller]
    pub fn write(&self, gpu: &Gpu, spans: &[Span], rotary: &Rotary) {
        let BatchShape {
            blocks_per_sequence,
            block,
            ..
        } = self.shape;
        assert_eq!(
            Self::shape_of(spans, blocks_per_sequence, block),
            self.shape
        );
        let mut parts: [Vec<u32>; 7] = Default::default();
        let [ids, positions, slots, sequences, blocks, outputs, rotations] = &mut parts;
        for (sequence, span) in spans.iter().enumerate() {
            let end = span.start + span.tokens.len();
            assert!(
                end <= span.blocks.len() * block,
                "{} blocks for {end} tokens",
                span.blocks.len()
            );
            ids.extend(&span.tokens);
            for position in span.start..end {
                positions.push(position as u32);
                slots
                    .push(span.blocks[position / block] * block as u32 + (position % block) as u32);
                sequences.push(sequence as u32);
                rotations.extend(rotary.rotations(position).flatten().map(f32::to_bits));
            }
            blocks.extend(&span.blocks);
            blocks.resize((sequence + 1) * blocks_per_sequence, 0);
            outputs.extend((ids.len() - span.outputs..ids.len()).map(|token| token as u32));
        }
        let mut values = Vec::with_capacity(self.all.bytes() as usize / 4);
        for part in parts {
            values.extend(part);
            values.resize(values.len().next_multiple_of(ALIGNMENT), 0);
        }
        self.all.write(gpu, &values);
    }
}

//! The tokens of one step, as tensors that the host writes in one upload.

use std::borrow::Borrow;
use std::cell::RefCell;

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
    /// What workgroups draw that merge parts of a context; zeros between launches.
    pub tickets: Tensor, // [tokens * MOST_HEADS], for as few tokens as have their context split
    all: Tensor,
    /// Where the host puts them together.
    values: RefCell<Vec<u32>>,
}

/// Tensors start at multiples of this many values: every device can bind a buffer there.
const ALIGNMENT: usize = 64;
/// Most tokens whose context is split over several workgroups; more keep the device busy anyway.
const SPLIT_TOKENS: usize = 8;
/// Heads of a token that may have tickets.
const MOST_HEADS: usize = 256;

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
            tickets: Tensor::new(gpu, &[tokens.min(SPLIT_TOKENS) * MOST_HEADS]),
            all,
            values: RefCell::default(),
        }
    }

    /// The shape of a step of `spans`.
    pub fn shape_of<S: Borrow<Span>>(
        spans: &[S],
        blocks_per_sequence: usize,
        block: usize,
    ) -> BatchShape {
        let sum = |count: fn(&Span) -> usize| spans.iter().map(|span| count(span.borrow())).sum();
        BatchShape {
            tokens: sum(|span| span.tokens.len()),
            sequences: spans.len(),
            outputs: sum(|span| span.outputs),
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
    ///
    /// Steps under way keep theirs: an upload takes its turn between the submits.
    #[track_caller]
    pub fn write<S: Borrow<Span>>(&self, gpu: &Gpu, spans: &[S], rotary: &Rotary) {
        let BatchShape {
            blocks_per_sequence,
            block,
            ..
        } = self.shape;
        assert_eq!(
            Self::shape_of(spans, blocks_per_sequence, block),
            self.shape
        );
        let spans = || spans.iter().map(Borrow::borrow);
        let ends = || spans().map(|span: &Span| span.start + span.tokens.len());
        let positions = || spans().zip(ends()).flat_map(|(span, end)| span.start..end);
        let mut values = self.values.borrow_mut();
        values.clear();
        let mut part = |part: &mut dyn Iterator<Item = u32>| {
            values.extend(part);
            let end = values.len().next_multiple_of(ALIGNMENT);
            values.resize(end, 0);
        };
        part(&mut spans().flat_map(|span| span.tokens.iter().copied()));
        part(&mut positions().map(|position| position as u32));
        part(
            &mut spans()
                .zip(ends())
                .flat_map(|(span, end)| slots(span, end, block)),
        );
        part(
            &mut spans().enumerate().flat_map(|(sequence, span)| {
                std::iter::repeat_n(sequence as u32, span.tokens.len())
            }),
        );
        part(&mut spans().flat_map(|span| {
            let rest = blocks_per_sequence - span.blocks.len();
            span.blocks
                .iter()
                .copied()
                .chain(std::iter::repeat_n(0, rest))
        }));
        let mut first = 0;
        part(&mut spans().flat_map(|span| {
            first += span.tokens.len();
            (first - span.outputs..first).map(|token| token as u32)
        }));
        part(
            &mut positions()
                .flat_map(|position| rotary.rotations(position).flatten().map(f32::to_bits)),
        );
        self.all.write(gpu, &values);
    }
}

/// The rows of the cache that the tokens of a span go to.
#[track_caller]
fn slots(span: &Span, end: usize, block: usize) -> impl Iterator<Item = u32> {
    assert!(
        end <= span.blocks.len() * block,
        "{} blocks for {end} tokens",
        span.blocks.len()
    );
    let slot = move |position: usize| {
        span.blocks[position / block] * block as u32 + (position % block) as u32
    };
    (span.start..end).map(slot)
}

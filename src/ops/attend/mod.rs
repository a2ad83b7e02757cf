//! What the kernels of attention have in common.

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Cache, Tensor, Tiers};

/// The cached rows that each token attends to: those of its sequence up to its position.
pub struct Keys<'a> {
    /// One row per slot.
    pub cache: &'a Cache, // [slots, width]
    /// Each token's position in its sequence.
    pub positions: &'a Tensor, // [tokens] of u32
    /// Each token's row of `blocks`.
    pub sequences: &'a Tensor, // [tokens] of u32
    /// Where the blocks of each sequence lie, in units of blocks.
    pub blocks: &'a Tensor, // [sequences, blocks_per_sequence] of u32
    /// Slots of a block.
    pub block: usize,
}

/// How many workgroups share the context of a token.
///
/// The number is fixed when a step is recorded, the context is not: a short context uses
/// fewer splits, and the other workgroups leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splits {
    /// The most splits.
    pub count: usize,
    /// The fewest keys that are worth a split of their own.
    pub keys: usize,
}

/// Query rows of a workgroup, which share every load of the cache.
const TILE_ROWS: usize = 8;

/// The part of a kernel's `Params` that `lib/attend.wgsl` needs.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct AttendParams {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    value: u32,
    tile_tokens: u32,
    tile_heads: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

/// Queries that attend.
#[derive(Clone, Copy)]
pub(super) struct Attending<'a> {
    pub q: &'a Tensor, // [tokens, heads, width]
    pub keys: &'a Keys<'a>,
    pub kv_heads: usize,
    /// Columns of a value.
    pub value: usize,
    pub splits: Splits,
    pub scale: f32,
}

impl Attending<'_> {
    /// Parameters and workgroups.
    #[track_caller]
    pub(super) fn plan(&self) -> (AttendParams, [usize; 3]) {
        let Self {
            q,
            keys,
            kv_heads,
            value,
            splits,
            scale,
        } = *self;
        let [tokens, heads, width] = q.dims();
        let [_, blocks_per_sequence] = keys.blocks.dims();
        assert_eq!(keys.positions.dims(), [tokens]);
        assert_eq!(keys.sequences.dims(), [tokens]);
        assert!(
            heads.is_multiple_of(kv_heads),
            "{heads} heads in {kv_heads} groups"
        );
        assert!(
            value.is_multiple_of(8) && width.is_multiple_of(8),
            "values of {value} and keys of {width} columns"
        );
        let group = heads / kv_heads;
        let head_tiles = group.div_ceil(TILE_ROWS);
        let tile_heads = group.div_ceil(head_tiles);
        // Tokens whose contexts are split differently have nothing in common.
        let tile_tokens = if splits.count == 1 {
            TILE_ROWS / tile_heads
        } else {
            1
        };
        let params = AttendParams {
            tokens: tokens as u32,
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            width: (width / 8) as u32,
            value: (value / 8) as u32,
            tile_tokens: tile_tokens as u32,
            tile_heads: tile_heads as u32,
            blocks_per_sequence: blocks_per_sequence as u32,
            splits: splits.count as u32,
            split_keys: splits.keys as u32,
            scale,
        };
        let workgroups = [
            kv_heads * head_tiles,
            splits.count,
            tokens.div_ceil(tile_tokens),
        ];
        (params, workgroups)
    }

    /// The kernels' overrides: at least a lane per chunk of a value.
    ///
    /// Software adapters switch between lanes at every barrier, so there none is left over.
    pub(super) fn constants(&self, tiers: Tiers) -> [(&'static str, u32); 2] {
        let chunks = self.value as u32 / 8;
        let lanes = if tiers.software {
            chunks.next_multiple_of(8)
        } else {
            chunks.max(64)
        };
        [("BLOCK", self.keys.block as u32), ("WORKGROUP_SIZE", lanes)]
    }
}

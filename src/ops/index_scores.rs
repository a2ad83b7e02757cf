use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::Keys;
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    width: u32,
    stride: u32,
    offset: u32,
    blocks_per_sequence: u32,
    first: u32,
    most: u32,
    scale: f32,
}

/// Lanes of a workgroup, each of which takes four keys.
const LANES: usize = 64;

/// What tokens score keys with.
#[derive(Clone, Copy)]
pub struct IndexQueries<'a> {
    /// A query per head.
    pub q: &'a Tensor, // [tokens, heads, width]
    /// What the heads' scores are multiplied with, from a column on.
    pub weights: &'a Tensor, // [tokens, stride]
    /// That column.
    pub offset: usize,
    /// What the sum is multiplied with.
    pub scale: f32,
}

/// How much some tokens want each key up to their position: the sum over heads of weighted scores, of which
/// negative ones count as zero.
///
/// Tokens that see no more than `most` keys want them all, so their scores are left undefined.
///
/// `keys.cache: [slots, width]` → `[tokens.len(), blocks_per_sequence * block]`
#[track_caller]
pub fn index_scores(
    pass: &mut Pass,
    queries: IndexQueries,
    keys: &Keys,
    tokens: Range<usize>,
    most: usize,
) -> Tensor {
    let [all, heads, width] = queries.q.dims();
    let [_, stride] = queries.weights.dims();
    let [_, blocks_per_sequence] = keys.blocks.dims();
    let capacity = blocks_per_sequence * keys.block;
    assert_eq!(keys.cache.width, width);
    assert_eq!(keys.positions.dims(), [all]);
    assert_eq!(keys.sequences.dims(), [all]);
    assert_eq!(queries.weights.dims(), [all, stride]);
    assert!(width.is_multiple_of(8), "{width} columns");
    assert!(queries.offset + heads <= stride && tokens.end <= all);

    let y = pass.tensor(&[tokens.len(), capacity]);
    pass.dispatch(Dispatch {
        kernel: kernel!("index_scores").over(keys.cache.kind),
        constants: &[
            ("WORKGROUP_SIZE", LANES as u32),
            ("BLOCK", keys.block as u32),
        ],
        params: Params {
            heads: heads as u32,
            width: (width / 8) as u32,
            stride: stride as u32,
            offset: queries.offset as u32,
            blocks_per_sequence: blocks_per_sequence as u32,
            first: tokens.start as u32,
            most: most as u32,
            scale: queries.scale,
        },
        inputs: &[
            queries.q,
            queries.weights,
            &keys.cache.rows,
            keys.positions,
            keys.sequences,
            keys.blocks,
        ],
        weight: None,
        outputs: &[&y],
        workgroups: [capacity.div_ceil(4 * LANES), tokens.len(), 1],
    });
    y
}

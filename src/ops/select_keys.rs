use bytemuck::{Pod, Zeroable};

use super::Keys;
use crate::gpu::{Cache, Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    blocks_per_sequence: u32,
    first: u32,
    most: u32,
}

/// The keys that each token attends to, as if they were a sequence in blocks of one slot.
pub struct Chosen {
    /// Where the keys lie, in order of position.
    pub slots: Tensor, // [tokens, most] of u32
    /// How many a token has, less one.
    pub last: Tensor, // [tokens] of u32
    /// Each token's row of `slots`.
    pub own: Tensor, // [tokens] of u32
}

impl Chosen {
    /// Room for up to `most` keys of each token.
    pub fn new(pass: &Pass, tokens: usize, most: usize) -> Self {
        Self {
            slots: pass.tensor(&[tokens, most]),
            last: pass.tensor(&[tokens]),
            own: pass.tensor(&[tokens]),
        }
    }

    /// The chosen rows of a cache.
    pub fn keys<'a>(&'a self, cache: &'a Cache) -> Keys<'a> {
        Keys {
            cache,
            positions: &self.last,
            sequences: &self.own,
            blocks: &self.slots,
            block: 1,
        }
    }
}

/// Chooses the keys with the largest scores for the tokens from `first` on; among equals those of lower positions.
///
/// A token that sees no more keys than there is room for gets all of them, whatever the scores.
///
/// `scores: [rows, blocks_per_sequence * block]`
#[track_caller]
pub fn select_keys(pass: &mut Pass, scores: &Tensor, keys: &Keys, first: usize, chosen: &Chosen) {
    let [rows, capacity] = scores.dims();
    let [tokens, most] = chosen.slots.dims();
    let [_, blocks_per_sequence] = keys.blocks.dims();
    assert_eq!(capacity, blocks_per_sequence * keys.block);
    assert_eq!(keys.positions.dims(), [tokens]);
    assert_eq!(keys.sequences.dims(), [tokens]);
    assert!(first + rows <= tokens && most > 0);

    pass.dispatch(Dispatch {
        kernel: kernel!("select_keys"),
        constants: &[("BLOCK", keys.block as u32)],
        params: Params {
            blocks_per_sequence: blocks_per_sequence as u32,
            first: first as u32,
            most: most as u32,
        },
        inputs: &[scores, keys.positions, keys.sequences, keys.blocks],
        weight: None,
        outputs: &[&chosen.slots, &chosen.last, &chosen.own],
        workgroups: [rows, 1, 1],
    });
}

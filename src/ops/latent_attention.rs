use bytemuck::{Pod, Zeroable};

use super::merge_splits;
use crate::gpu::{Cache, Dispatch, Pass, Tensor, Tiers};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    width: u32,
    latent: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

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

/// Multi-head latent attention in absorbed form: one key head, whose first `latent` columns
/// are the value too.
///
/// `q: [tokens, heads, width]` → `[tokens, heads, latent]`
#[track_caller]
pub fn latent_attention(
    pass: &mut Pass,
    q: &Tensor,
    keys: &Keys,
    latent: usize,
    splits: Splits,
    scale: f32,
) -> Tensor {
    let [tokens, heads, width] = q.dims();
    let [_, blocks_per_sequence] = keys.blocks.dims();
    assert_eq!(keys.cache.width, width);
    assert_eq!(keys.positions.dims(), [tokens]);
    assert_eq!(keys.sequences.dims(), [tokens]);
    assert!(
        latent.is_multiple_of(4) && width.is_multiple_of(4),
        "{latent} of {width} columns"
    );
    // A lane has 96 bytes of workgroup memory, of which every device has 16 KiB.
    assert!((4..=680).contains(&latent), "a latent of {latent} columns");

    let small = keys.cache.is_plain() && fits_a_subgroup(pass.gpu.tiers, latent, width);
    let (kernel, unit) = if small {
        (kernel!("latent_attention_subgroup"), 8)
    } else {
        (kernel!("latent_attention").over(keys.cache.kind), 4)
    };
    let constants = [
        ("BLOCK", keys.block as u32),
        ("WORKGROUP_SIZE", latent as u32 / 4),
    ];
    let z = pass.tensor(&[tokens, splits.count, heads, latent]);
    let stats = pass.tensor(&[tokens, splits.count, heads, 2]);
    pass.dispatch(Dispatch {
        kernel,
        constants: if small { &constants[..1] } else { &constants },
        params: Params {
            heads: heads as u32,
            width: (width / unit) as u32,
            latent: (latent / unit) as u32,
            blocks_per_sequence: blocks_per_sequence as u32,
            splits: splits.count as u32,
            split_keys: splits.keys as u32,
            scale,
        },
        inputs: &[
            q,
            &keys.cache.rows,
            keys.positions,
            keys.sequences,
            keys.blocks,
        ],
        weight: None,
        outputs: &[&z, &stats],
        workgroups: [heads.div_ceil(4), splits.count, tokens],
    });
    merge_splits(pass, &z, &stats, keys.positions, splits.keys)
}

/// Whether rows are short enough for the kernel that works inside a subgroup.
///
/// Software adapters only: a barrier costs them more than the exchange of registers within a subgroup.
fn fits_a_subgroup(tiers: Tiers, latent: usize, width: usize) -> bool {
    let whole = latent.is_multiple_of(8) && width.is_multiple_of(8);
    tiers.software && tiers.subgroup_size == 8 && whole && latent <= 64 && width <= 96
}

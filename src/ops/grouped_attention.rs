use bytemuck::{Pod, Zeroable};

use super::{Keys, Splits, merge_splits};
use crate::gpu::{Dispatch, Pass, Tensor, Tiers};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

/// The most columns that a head may have: four to a lane, and workgroup memory for 64 lanes.
pub const MOST_HEAD_COLUMNS: usize = 256;

/// Grouped-query attention: the heads of a group share a head of keys and one of values, which
/// lie in the cache's rows as [`super::store_heads`] puts them there.
///
/// `q: [tokens, heads, head_dim]` → `[tokens, heads, head_dim]`
#[track_caller]
pub fn grouped_attention(
    pass: &mut Pass,
    q: &Tensor,
    keys: &Keys,
    kv_heads: usize,
    splits: Splits,
    scale: f32,
) -> Tensor {
    let [tokens, heads, head_dim] = q.dims();
    let [_, blocks_per_sequence] = keys.blocks.dims();
    assert_eq!(keys.cache.width, 2 * kv_heads * head_dim);
    assert_eq!(keys.positions.dims(), [tokens]);
    assert_eq!(keys.sequences.dims(), [tokens]);
    assert!(
        heads.is_multiple_of(kv_heads),
        "{heads} heads in {kv_heads} groups"
    );
    assert!(
        head_dim.is_multiple_of(4) && (4..=MOST_HEAD_COLUMNS).contains(&head_dim),
        "heads of {head_dim} columns"
    );

    let z = pass.tensor(&[tokens, splits.count, heads, head_dim]);
    let stats = pass.tensor(&[tokens, splits.count, heads, 2]);
    pass.dispatch(Dispatch {
        kernel: kernel!("grouped_attention").over(keys.cache.kind),
        constants: &[
            ("BLOCK", keys.block as u32),
            ("WORKGROUP_SIZE", lanes(pass.gpu.tiers, head_dim)),
        ],
        params: Params {
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            head_dim: head_dim as u32 / 4,
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
        workgroups: [
            kv_heads * (heads / kv_heads).div_ceil(4),
            splits.count,
            tokens,
        ],
    });
    merge_splits(pass, &z, &stats, keys.positions, splits.keys)
}

/// Lanes of a workgroup: at least one per four columns of a head.
///
/// Software adapters switch between lanes at every barrier, so there none is left over.
fn lanes(tiers: Tiers, head_dim: usize) -> u32 {
    if tiers.software {
        (head_dim as u32 / 4).max(tiers.subgroup_size.max(8))
    } else {
        64
    }
}

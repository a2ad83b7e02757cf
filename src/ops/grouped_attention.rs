use bytemuck::{Pod, Zeroable};

use super::attend::{AttendParams, Attending};
use super::{Keys, Splits};
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    attend: AttendParams,
    head_dim: u32,
}

/// The most columns that a head may have.
pub const MOST_HEAD_COLUMNS: usize = 256;

/// Heads of keys, and of values, of the cache's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHeads {
    /// How many.
    pub count: usize,
    /// Columns of each; zeros fill them up to a multiple of 8.
    pub columns: usize,
}

impl KeyHeads {
    /// Columns of a head with what fills it up.
    pub fn width(&self) -> usize {
        self.columns.next_multiple_of(8)
    }

    /// Columns of a row of the cache: keys before values.
    pub fn row(&self) -> usize {
        2 * self.count * self.width()
    }
}

/// Grouped-query attention: the heads of a group share a head of keys and one of values, which
/// lie in the cache's rows as [`super::store_heads`] puts them there.
///
/// Where a context is split, the last of its workgroups merges the parts. `tickets`, at least
/// `tokens * heads` u32, says which one that is: zeros before and after.
///
/// `q: [tokens, heads, width]` → `[tokens, heads, columns]`
#[track_caller]
pub fn grouped_attention(
    pass: &mut Pass,
    q: &Tensor,
    keys: &Keys,
    key_heads: KeyHeads,
    splits: Splits,
    tickets: &Tensor,
    scale: f32,
) -> Tensor {
    let [tokens, heads, width] = q.dims();
    let columns = key_heads.columns;
    assert_eq!(
        (width, keys.cache.width),
        (key_heads.width(), key_heads.row())
    );
    assert!(
        columns.is_multiple_of(4) && (4..=MOST_HEAD_COLUMNS).contains(&columns),
        "heads of {columns} columns"
    );
    let attending = Attending {
        q,
        keys,
        kv_heads: key_heads.count,
        value: width,
        splits,
        scale,
    };
    let (attend, workgroups) = attending.plan();
    // A single part is the whole.
    let parts = if splits.count == 1 {
        0
    } else {
        tokens * splits.count * heads * (width + 2)
    };
    assert!(splits.count == 1 || tickets.shape()[0] >= tokens * heads);
    let parts = pass.tensor(&[parts.max(1)]);
    let y = pass.tensor(&[tokens, heads, columns]);
    pass.dispatch(Dispatch {
        kernel: kernel!("grouped_attention").over(keys.cache.kind),
        constants: &attending.constants(pass.gpu.tiers),
        params: Params {
            attend,
            head_dim: columns as u32 / 4,
        },
        inputs: &[
            q,
            &keys.cache.rows,
            keys.positions,
            keys.sequences,
            keys.blocks,
        ],
        weight: None,
        outputs: &[&parts, tickets, &y],
        workgroups,
    });
    y
}

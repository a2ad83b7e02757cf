use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    latent: u32,
    splits: u32,
    split_keys: u32,
}

/// The parts of the context that attention worked on, put together; a single one is the whole already.
///
/// `z: [tokens, splits, heads, latent]`, `stats: [tokens, splits, heads, 2]`,
/// `positions: [tokens]` of u32 → `[tokens, heads, latent]`
#[track_caller]
pub fn merge_splits(
    pass: &mut Pass,
    z: &Tensor,
    stats: &Tensor,
    positions: &Tensor,
    split_keys: usize,
) -> Tensor {
    let [tokens, splits, heads, latent] = z.dims();
    assert_eq!(stats.dims(), [tokens, splits, heads, 2]);
    assert_eq!(positions.dims(), [tokens]);
    if splits == 1 {
        return z.reshape(&[tokens, heads, latent]);
    }

    let y = pass.tensor(&[tokens, heads, latent]);
    pass.dispatch(Dispatch {
        kernel: kernel!("merge_splits"),
        constants: &[],
        params: Params {
            heads: heads as u32,
            latent: latent as u32 / 4,
            splits: splits as u32,
            split_keys: split_keys as u32,
        },
        inputs: &[z, stats, positions],
        weight: None,
        outputs: &[&y],
        workgroups: [(heads * latent / 4).div_ceil(64), tokens, 1],
    });
    y
}

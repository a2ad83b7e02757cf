use bytemuck::{Pod, Zeroable};

use super::{HeadSlices, LatentParts, head_lanes, matmul_heads};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    outer: u32,
    splits: u32,
    split_keys: u32,
}

/// The parts of the context that attention worked on, put together and multiplied by a small matrix per head.
///
/// `weight: [heads, outer, latent]` → `[tokens, heads, outer]`
#[track_caller]
pub fn merge_heads(pass: &mut Pass, parts: &LatentParts, weight: &Weight) -> Tensor {
    let [tokens, splits, heads, latent] = parts.z.dims();
    assert_eq!(parts.stats.dims(), [tokens, splits, heads, 2]);
    assert_eq!((heads, latent), (weight.count, weight.columns));
    assert!(latent.is_multiple_of(8), "a latent of {latent} columns");
    let outer = weight.rows;
    if splits == 1 {
        // A single part is the whole.
        let slices = HeadSlices {
            inner: latent,
            width: outer,
        };
        return matmul_heads(
            pass,
            &parts.z.reshape(&[tokens, heads, latent]),
            weight,
            slices,
        );
    }

    let y = pass.tensor(&[tokens, heads, outer]);
    let (workgroup, lanes) = head_lanes(pass.gpu.tiers);
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("merge_heads"),
            constants: &[
                ("WORKGROUP_SIZE", workgroup),
                ("LANES", lanes),
                ("CHUNKS", (latent / 8) as u32),
                ("SPLITS", splits as u32),
            ],
            params: Params {
                heads: heads as u32,
                outer: outer as u32,
                splits: splits as u32,
                split_keys: parts.splits.keys as u32,
            },
            inputs: &[&parts.z, &parts.stats, &parts.positions],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [
                outer.div_ceil(4 * (workgroup / lanes) as usize),
                shard.rows / outer,
                tokens,
            ],
        });
    }
    y
}

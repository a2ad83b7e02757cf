use bytemuck::{Pod, Zeroable};

use super::Groups;
use super::pad::pad_for_shards;
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    repeat: u32,
    outer: u32,
}

/// A product per expert over the tokens grouped under it, for many tokens.
///
/// `x: [tokens, inner]` or `[tokens, slots, inner]`, `weight: [experts, outer, inner]` →
/// `[tokens, slots, outer]`
#[track_caller]
pub fn expert_matmul(pass: &mut Pass, x: &Tensor, weight: &Weight, groups: &Groups) -> Tensor {
    let [tokens, slots] = groups.entries.dims();
    let repeat = match *x.shape() {
        [rows, inner] if rows == tokens && inner == weight.columns => slots,
        [rows, each, inner] if [rows, each] == [tokens, slots] && inner == weight.columns => 1,
        _ => panic!(
            "{x:?} for {tokens} tokens in {slots} slots of {} columns",
            weight.columns
        ),
    };
    let [max_tiles, _] = groups.tiles.dims();

    let padded = pad_for_shards(pass, x, weight);
    let y = pass.tensor(&[tokens, slots, weight.rows]);
    let lanes = if pass.gpu.tiers.software { 8 } else { 64 };
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_matmul"),
            constants: &[("WORKGROUP_SIZE", lanes as u32)],
            params: Params {
                repeat: repeat as u32,
                outer: weight.rows as u32,
            },
            inputs: &[x, &groups.entries, &groups.tiles],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [weight.rows.div_ceil(4 * lanes), max_tiles, 1],
        });
    }
    y
}

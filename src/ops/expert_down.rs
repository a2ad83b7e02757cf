use bytemuck::{Pod, Zeroable};

use super::pad::pad_for_shards;
use super::{Routes, dot_groups, dot_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slots: u32,
    outer: u32,
    later_shard: u32,
}

/// The weighted sum of every slot's expert output, for few tokens.
///
/// `x: [tokens, slots, inner]`, `weight: [experts, outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn expert_down(pass: &mut Pass, x: &Tensor, weight: &Weight, routes: &Routes) -> Tensor {
    let [tokens, slots, inner] = x.dims();
    assert_eq!(inner, weight.columns);
    assert_eq!(routes.choices.dims(), [tokens, slots]);

    let padded = pad_for_shards(pass, x, weight);
    let y = pass.tensor(&[tokens, weight.rows]);
    let tiers = pass.gpu.tiers;
    for (number, (shard, x)) in weight.shards.iter().zip(&padded).enumerate() {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_down"),
            constants: &dot_lanes(tiers),
            params: Params {
                slots: slots as u32,
                outer: weight.rows as u32,
                later_shard: u32::from(number > 0),
            },
            inputs: &[x, &routes.choices, &routes.weights],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [dot_groups(tiers, weight.rows, 4), tokens, 1],
        });
    }
    y
}

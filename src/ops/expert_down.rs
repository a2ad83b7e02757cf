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
}

/// Adds the weighted sum of every slot's expert output to `sum`, for few tokens.
///
/// `x: [tokens, slots, inner]`, `weight: [experts, outer, inner]`, `sum: [tokens, outer]`
#[track_caller]
pub fn add_expert_down(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    routes: &Routes,
    sum: &Tensor,
) {
    let [tokens, slots, inner] = x.dims();
    assert_eq!(inner, weight.columns);
    assert_eq!(routes.choices.dims(), [tokens, slots]);

    let padded = pad_for_shards(pass, x, weight);
    assert_eq!(sum.dims(), [tokens, weight.rows]);
    let lanes = dot_lanes(pass.gpu.tiers);
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_down"),
            constants: &lanes,
            params: Params {
                slots: slots as u32,
                outer: weight.rows as u32,
            },
            inputs: &[x, &routes.choices, &routes.weights],
            weight: Some(shard),
            outputs: &[sum],
            workgroups: [dot_groups(&lanes, weight.rows, 4), tokens, 1],
        });
    }
}

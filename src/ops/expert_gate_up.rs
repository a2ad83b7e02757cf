use bytemuck::{Pod, Zeroable};

use super::pad::pad_for_shards;
use super::{Routes, dot_groups, dot_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slots: u32,
    width: u32,
}

/// The gated hidden values of every slot's expert, for few tokens.
///
/// `x: [tokens, inner]`, `weight: [experts, 2 * width, inner]` → `[tokens, slots, width]`
#[track_caller]
pub fn expert_gate_up(pass: &mut Pass, x: &Tensor, weight: &Weight, routes: &Routes) -> Tensor {
    let [tokens, inner] = x.dims();
    let [_, slots] = routes.choices.dims();
    let width = weight.rows / 2;
    assert_eq!(inner, weight.columns);
    assert_eq!(routes.choices.dims(), [tokens, slots]);

    let padded = pad_for_shards(pass, x, weight);
    let y = pass.tensor(&[tokens, slots, width]);
    let tiers = pass.gpu.tiers;
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_gate_up"),
            constants: &dot_lanes(tiers),
            params: Params {
                slots: slots as u32,
                width: width as u32,
            },
            inputs: &[x, &routes.choices],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [dot_groups(tiers, width, 2), tokens * slots, 1],
        });
    }
    y
}

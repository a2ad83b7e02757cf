use bytemuck::{Pod, Zeroable};

use super::{Input, Routes, dot_groups, dot_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    epsilon: f32,
    slots: u32,
    outer: u32,
}

/// The gated hidden values of every slot's expert, for few tokens.
///
/// `x: [tokens, inner]`, `weight: [experts, 2 * width, inner]` → `[tokens, slots, width]`
#[track_caller]
pub fn expert_gate_up(
    pass: &mut Pass,
    x: impl Into<Input>,
    weight: &Weight,
    routes: &Routes,
) -> Tensor {
    let x = x.into();
    let [tokens, inner] = x.dims();
    let [_, slots] = routes.choices.dims();
    let width = weight.rows / 2;
    assert_eq!(inner, weight.columns);
    assert_eq!(routes.choices.dims(), [tokens, slots]);

    let y = pass.tensor(&[tokens, slots, width]);
    let lanes = dot_lanes(pass.gpu.tiers);
    let [workgroup_size, group] = lanes;
    for (shard, operands) in weight.shards.iter().zip(x.operands(pass, weight)) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_gate_up"),
            constants: &[workgroup_size, group, x.normed()],
            params: Params {
                width: inner as u32,
                epsilon: x.epsilon(),
                slots: slots as u32,
                outer: width as u32,
            },
            inputs: &[&operands.x, &operands.gain, &routes.choices],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [dot_groups(&lanes, width, 2), tokens * slots, 1],
        });
    }
    y
}

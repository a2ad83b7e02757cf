use bytemuck::{Pod, Zeroable};

use super::{Input, dot_groups, dot_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    epsilon: f32,
}

/// The gated hidden values of a network, for few tokens: `silu(gate * x) * (up * x)`.
///
/// The weight lies in one shard.
///
/// `x: [tokens, inner]`, `weight: [2 * width, inner]` → `[tokens, width]`
#[track_caller]
pub fn gate_up(pass: &mut Pass, x: impl Into<Input>, weight: &Weight) -> Tensor {
    let x = x.into();
    let [tokens, inner] = x.dims();
    let [shard] = &weight.shards[..] else {
        panic!("gate and up in {} shards", weight.shards.len())
    };
    assert_eq!((inner, 1), (weight.columns, weight.count), "{:?}", x.x);
    let width = weight.rows / 2;

    let y = pass.tensor(&[tokens, width]);
    let lanes = dot_lanes(pass.gpu.tiers);
    let [workgroup_size, group] = lanes;
    for operands in x.operands(pass, weight) {
        pass.dispatch(Dispatch {
            kernel: kernel!("gate_up"),
            constants: &[workgroup_size, group, x.normed()],
            params: Params {
                width: inner as u32,
                epsilon: x.epsilon(),
            },
            inputs: &[&operands.x, &operands.gain],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [dot_groups(&lanes, width, 2), tokens, 1],
        });
    }
    y
}

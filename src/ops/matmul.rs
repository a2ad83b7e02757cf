use bytemuck::{Pod, Zeroable};

use super::pad::pad_for_shards;
use super::{dot_groups, dot_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BlockedParams {
    tokens: u32,
}

/// `x * transpose(weight)`, by the kernel that suits the number of tokens.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul(pass: &mut Pass, x: &Tensor, weight: &Weight) -> Tensor {
    let [tokens, _] = x.dims();
    if tokens <= 2 {
        matmul_few(pass, x, weight)
    } else {
        matmul_blocked(pass, x, weight)
    }
}

/// [`matmul`] that reads the weight once per token.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_few(pass: &mut Pass, x: &Tensor, weight: &Weight) -> Tensor {
    let (padded, y) = operands(pass, x, weight);
    let [tokens, _] = y.dims();
    let tiers = pass.gpu.tiers;
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul"),
            constants: &dot_lanes(tiers),
            params: (),
            inputs: &[x],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [dot_groups(tiers, shard.rows, 4), tokens, 1],
        });
    }
    y
}

/// [`matmul`] that reads the weight once per four tokens.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_blocked(pass: &mut Pass, x: &Tensor, weight: &Weight) -> Tensor {
    let (padded, y) = operands(pass, x, weight);
    let [tokens, _] = y.dims();
    let lanes = if pass.gpu.tiers.software { 8 } else { 64 };
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_blocked"),
            constants: &[("WORKGROUP_SIZE", lanes as u32)],
            params: BlockedParams {
                tokens: tokens as u32,
            },
            inputs: &[x],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [shard.rows.div_ceil(4 * lanes), tokens.div_ceil(4), 1],
        });
    }
    y
}

#[track_caller]
fn operands(pass: &mut Pass, x: &Tensor, weight: &Weight) -> (Vec<Tensor>, Tensor) {
    let [tokens, inner] = x.dims();
    assert_eq!((inner, 1), (weight.columns, weight.count), "{x:?}");
    (
        pad_for_shards(pass, x, weight),
        pass.tensor(&[tokens, weight.rows]),
    )
}

use bytemuck::{Pod, Zeroable};

use super::pad;
use crate::gpu::{Dispatch, Pass, Tensor, Tiers, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    stride: u32,
    inner: u32,
    outer: u32,
    width: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BlockedParams {
    tokens: u32,
    few: Params,
}

/// Which columns of a head are multiplied and which are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlices {
    /// Columns of a head of `x` that are multiplied; those behind them are the tail.
    pub inner: usize,
    /// Columns of a head of the result: the products, then the tail, then zeros.
    pub width: usize,
}

/// One small matrix per attention head, by the kernel that suits the number of tokens.
///
/// `x: [tokens, heads, stride]`, `weight: [heads, outer, inner]` → `[tokens, heads, width]`
#[track_caller]
pub fn matmul_heads(pass: &mut Pass, x: &Tensor, weight: &Weight, slices: HeadSlices) -> Tensor {
    let [tokens, _, _] = x.dims();
    if tokens <= 2 {
        matmul_heads_few(pass, x, weight, slices)
    } else {
        matmul_heads_blocked(pass, x, weight, slices)
    }
}

/// [`matmul_heads`] that reads the weight once per token.
///
/// `x: [tokens, heads, stride]`, `weight: [heads, outer, inner]` → `[tokens, heads, width]`
#[track_caller]
pub fn matmul_heads_few(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    slices: HeadSlices,
) -> Tensor {
    let (x, params, y) = operands(pass, x, weight, slices);
    let [tokens, _, width] = y.dims();
    let (workgroup, lanes) = head_lanes(pass.gpu.tiers);
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_heads"),
            constants: &[("WORKGROUP_SIZE", workgroup), ("LANES", lanes)],
            params,
            inputs: &[&x],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [
                width.div_ceil(4 * (workgroup / lanes) as usize),
                shard.rows / weight.rows,
                tokens,
            ],
        });
    }
    y
}

/// [`matmul_heads`] that reads the weight once per four tokens.
///
/// `x: [tokens, heads, stride]`, `weight: [heads, outer, inner]` → `[tokens, heads, width]`
#[track_caller]
pub fn matmul_heads_blocked(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    slices: HeadSlices,
) -> Tensor {
    let (x, params, y) = operands(pass, x, weight, slices);
    let [tokens, _, width] = y.dims();
    let lanes = if pass.gpu.tiers.software { 8 } else { 32 };
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_heads_blocked"),
            constants: &[("WORKGROUP_SIZE", lanes as u32)],
            params: BlockedParams {
                tokens: tokens as u32,
                few: params,
            },
            inputs: &[&x],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [
                width.div_ceil(4 * lanes),
                shard.rows / weight.rows,
                tokens.div_ceil(4),
            ],
        });
    }
    y
}

/// `x` in whole chunks, parameters, and room for the result.
#[track_caller]
fn operands(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    slices: HeadSlices,
) -> (Tensor, Params, Tensor) {
    let [tokens, heads, stride] = x.dims();
    let HeadSlices { inner, width } = slices;
    assert_eq!((heads, inner), (weight.count, weight.columns), "{x:?}");
    assert!(
        inner <= stride && width >= weight.rows,
        "{slices:?} of {x:?}"
    );
    let chunked = stride.next_multiple_of(8);
    let params = Params {
        heads: heads as u32,
        stride: (chunked / 8) as u32,
        inner: inner as u32,
        outer: weight.rows as u32,
        width: width as u32,
    };
    let y = pass.tensor(&[tokens, heads, width]);
    (pad(pass, x, chunked), params, y)
}

/// `WORKGROUP_SIZE` and `LANES` of kernels that multiply by a matrix per head.
pub(super) fn head_lanes(tiers: Tiers) -> (u32, u32) {
    if tiers.software { (8, 1) } else { (64, 8) }
}

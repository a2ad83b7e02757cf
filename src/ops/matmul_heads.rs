use bytemuck::{Pod, Zeroable};

use super::pad;
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
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

/// Which columns of a head are multiplied and which are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlices {
    /// Columns of a head of `x` that are multiplied; those behind them are the tail.
    pub inner: usize,
    /// Columns of a head of the result: the products, then the tail, then zeros.
    pub width: usize,
}

/// One small matrix per attention head.
///
/// `x: [tokens, heads, stride]`, `weight: [heads, outer, inner]` → `[tokens, heads, width]`
#[track_caller]
pub fn matmul_heads(pass: &mut Pass, x: &Tensor, weight: &Weight, slices: HeadSlices) -> Tensor {
    let [tokens, heads, stride] = x.dims();
    let HeadSlices { inner, width } = slices;
    assert_eq!((heads, inner), (weight.count, weight.columns), "{x:?}");
    assert!(
        inner <= stride && width >= weight.rows,
        "{slices:?} of {x:?}"
    );

    let y = pass.tensor(&[tokens, heads, width]);
    let chunked = stride.next_multiple_of(8);
    let x = pad(pass, x, chunked);
    let (workgroup, lanes) = if pass.gpu.tiers.software {
        (8, 1)
    } else {
        (64, 8)
    };
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_heads"),
            constants: &[("WORKGROUP_SIZE", workgroup), ("LANES", lanes)],
            params: Params {
                heads: heads as u32,
                stride: (chunked / 8) as u32,
                inner: inner as u32,
                outer: weight.rows as u32,
                width: width as u32,
            },
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

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    count: u32,
}

/// `silu(gate) * up`, where a row of `x` is the gate, then the up projection.
///
/// `x: [.., 2 * width]` → `[.., width]`
#[track_caller]
pub fn swiglu(pass: &mut Pass, x: &Tensor) -> Tensor {
    let (&both, outer) = x.shape().split_last().expect("a tensor with rows");
    assert!(both.is_multiple_of(2), "{x:?}");
    let shape: Vec<_> = outer.iter().copied().chain([both / 2]).collect();
    let y = pass.tensor(&shape);
    let count: usize = shape.iter().product();
    let workgroups = count.div_ceil(64);
    // More rows of workgroups where one row would be too long.
    let rows = workgroups.div_ceil(65_535);
    pass.dispatch(Dispatch {
        kernel: kernel!("swiglu"),
        constants: &[],
        params: Params {
            width: both as u32 / 2,
            count: count as u32,
        },
        inputs: &[x],
        weight: None,
        outputs: &[&y],
        workgroups: [workgroups.div_ceil(rows), rows, 1],
    });
    y
}

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
}

/// Some rows of a tensor.
///
/// `x: [tokens, width]`, `rows: [count]` of u32 → `[count, width]`
#[track_caller]
pub fn gather(pass: &mut Pass, x: &Tensor, rows: &Tensor) -> Tensor {
    let [_, width] = x.dims();
    let [count] = rows.dims();
    let y = pass.tensor(&[count, width]);
    pass.dispatch(Dispatch {
        kernel: kernel!("gather"),
        constants: &[],
        params: Params {
            width: width as u32,
        },
        inputs: &[x, rows],
        weight: None,
        outputs: &[&y],
        workgroups: [width.div_ceil(64), count, 1],
    });
    y
}

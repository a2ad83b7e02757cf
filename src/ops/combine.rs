use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slots: u32,
    width: u32,
}

/// Expert outputs back to tokens: the weighted sum over the slots.
///
/// `x: [tokens, slots, width]`, `weights: [tokens, slots]` → `[tokens, width]`
#[track_caller]
pub fn combine(pass: &mut Pass, x: &Tensor, weights: &Tensor) -> Tensor {
    let [tokens, slots, width] = x.dims();
    assert_eq!(weights.dims(), [tokens, slots]);

    let y = pass.tensor(&[tokens, width]);
    pass.dispatch(Dispatch {
        kernel: kernel!("combine"),
        constants: &[],
        params: Params {
            slots: slots as u32,
            width: width as u32,
        },
        inputs: &[x, weights],
        weight: None,
        outputs: &[&y],
        workgroups: [width.div_ceil(64), tokens, 1],
    });
    y
}

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slots: u32,
    width: u32,
}

/// Expert outputs back to tokens: adds the weighted sum over the slots to `sum`.
///
/// `x: [tokens, slots, width]`, `weights: [tokens, slots]`, `sum: [tokens, width]`
#[track_caller]
pub fn add_combined(pass: &mut Pass, x: &Tensor, weights: &Tensor, sum: &Tensor) {
    let [tokens, slots, width] = x.dims();
    assert_eq!(weights.dims(), [tokens, slots]);
    assert_eq!(sum.dims(), [tokens, width]);

    pass.dispatch(Dispatch {
        kernel: kernel!("combine"),
        constants: &[],
        params: Params {
            slots: slots as u32,
            width: width as u32,
        },
        inputs: &[x, weights],
        weight: None,
        outputs: &[sum],
        workgroups: [width.div_ceil(64), tokens, 1],
    });
}

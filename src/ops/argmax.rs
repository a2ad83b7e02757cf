use bytemuck::{Pod, Zeroable};

use super::row_lanes;
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

/// What [`argmax`] gives for a row with a score that is not finite.
pub const NOT_FINITE: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
}

/// The index of each row's largest score, the lower one among equals, or [`NOT_FINITE`].
///
/// `scores: [rows, width]` → `[rows]` of u32
#[track_caller]
pub fn argmax(pass: &mut Pass, scores: &Tensor) -> Tensor {
    let [rows, width] = scores.dims();
    let y = pass.tensor(&[rows]);
    pass.dispatch(Dispatch {
        kernel: kernel!("argmax"),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers))],
        params: Params {
            width: width as u32,
        },
        inputs: &[scores],
        weight: None,
        outputs: &[&y],
        workgroups: [rows, 1, 1],
    });
    y
}

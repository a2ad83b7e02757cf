use bytemuck::{Pod, Zeroable};

use super::row_lanes;
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    epsilon: f32,
}

/// The residual stream after `update`, and its RMSNorm.
///
/// `x, update: [rows, width]`, `gain: [width]` → `[rows, width]` twice
#[track_caller]
pub fn add_rms_norm(
    pass: &mut Pass,
    x: &Tensor,
    update: &Tensor,
    gain: &Tensor,
    epsilon: f32,
) -> (Tensor, Tensor) {
    let [rows, width] = x.dims();
    assert_eq!(update.dims(), [rows, width]);
    assert_eq!(gain.dims(), [width]);

    let sum = pass.tensor(&[rows, width]);
    let y = pass.tensor(&[rows, width]);
    pass.dispatch(Dispatch {
        kernel: kernel!("add_rms_norm"),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers))],
        params: Params {
            width: width as u32,
            epsilon,
        },
        inputs: &[x, update, gain],
        weight: None,
        outputs: &[&sum, &y],
        workgroups: [rows, 1, 1],
    });
    (sum, y)
}

use bytemuck::{Pod, Zeroable};

use super::row_lanes;
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    offset: u32,
    width: u32,
    epsilon: f32,
}

/// Columns `offset .. offset + width` of a wider tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The first one.
    pub offset: usize,
    /// How many.
    pub width: usize,
}

/// `x / rms(x) * gain`, row by row, of some columns of `x`.
///
/// `x: [rows, stride]`, `gain: [width]` → `[rows, width]`
#[track_caller]
pub fn rms_norm(
    pass: &mut Pass,
    x: &Tensor,
    columns: Columns,
    gain: &Tensor,
    epsilon: f32,
) -> Tensor {
    let [rows, stride] = x.dims();
    let Columns { offset, width } = columns;
    assert!(offset + width <= stride, "{columns:?} of {x:?}");
    assert_eq!(gain.dims(), [width]);

    let y = pass.tensor(&[rows, width]);
    pass.dispatch(Dispatch {
        kernel: kernel!("rms_norm"),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers))],
        params: Params {
            stride: stride as u32,
            offset: offset as u32,
            width: width as u32,
            epsilon,
        },
        inputs: &[x, gain],
        weight: None,
        outputs: &[&y],
        workgroups: [rows, 1, 1],
    });
    y
}

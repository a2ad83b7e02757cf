use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

/// An id that [`fill_ids`] fills in.
pub const UNKNOWN_ID: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
}

/// Writes the tokens that were `chosen` for some rows where their ids are [`UNKNOWN_ID`].
///
/// `ids: [tokens]`, `rows, chosen: [count]`, all of u32; rows are different ones
#[track_caller]
pub fn fill_ids(pass: &mut Pass, ids: &Tensor, rows: &Tensor, chosen: &Tensor) {
    let [count] = rows.dims();
    assert_eq!(chosen.dims(), [count]);
    pass.dispatch(Dispatch {
        kernel: kernel!("fill_ids"),
        constants: &[],
        params: Params {
            count: count as u32,
        },
        inputs: &[rows, chosen],
        weight: None,
        outputs: &[ids],
        workgroups: [count.div_ceil(64), 1, 1],
    });
}

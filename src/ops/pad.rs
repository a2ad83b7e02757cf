use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    padded: u32,
}

/// Zeros behind each row, so that a weight's padded rows can be multiplied with it;
/// `x` itself where it is wide enough, as in every published model.
///
/// `x: [.., width]` → `[.., padded]`
#[track_caller]
pub fn pad(pass: &mut Pass, x: &Tensor, padded: usize) -> Tensor {
    let (&width, outer) = x.shape().split_last().expect("a tensor with rows");
    if width == padded {
        return x.clone();
    }
    let shape: Vec<_> = outer.iter().copied().chain([padded]).collect();
    let y = pass.tensor(&shape);
    pass.dispatch(Dispatch {
        kernel: kernel!("pad"),
        constants: &[],
        params: Params {
            width: width as u32,
            padded: padded as u32,
        },
        inputs: &[x],
        weight: None,
        outputs: &[&y],
        workgroups: [padded.div_ceil(64), outer.iter().product(), 1],
    });
    y
}

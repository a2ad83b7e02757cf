use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor, Weight};
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

/// [`pad`] for each shard of `weight`, to the width that its format gives rows.
#[track_caller]
pub(super) fn pad_for_shards(pass: &mut Pass, x: &Tensor, weight: &Weight) -> Vec<Tensor> {
    let mut padded: Vec<(usize, Tensor)> = Vec::new();
    let mut pad_to = |width: usize| {
        let known = padded.iter().find(|(known, _)| *known == width);
        if let Some((_, tensor)) = known {
            return tensor.clone();
        }
        let tensor = pad(pass, x, width);
        padded.push((width, tensor.clone()));
        tensor
    };
    let shards = weight.shards.iter();
    shards
        .map(|shard| pad_to(shard.format.padded(weight.columns)))
        .collect()
}

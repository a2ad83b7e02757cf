use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor, Tiers};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
}

/// How a token is drawn; all zeros take the best one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Draw {
    /// Where random numbers come from, the lower word first,
    pub seed: [u32; 2],
    /// and the token's place in its sequence: each has others.
    pub position: u32,
    /// Only the best `top_k` tokens; 0 for all.
    pub top_k: u32,
    /// Spread of the choice; 0 always takes the best token.
    pub temperature: f32,
    /// Only the best tokens that together have this probability, of those that `top_k` leaves; 1 for all.
    pub top_p: f32,
    /// Only tokens with at least this share of the best one's probability; 0 for all.
    pub min_p: f32,
}

/// Values of a [`Draw`].
pub const DRAW_WORDS: usize = size_of::<Draw>() / 4;

/// A token of each row, drawn by the softmax of its scores divided by a temperature, or
/// [`NOT_FINITE`](super::NOT_FINITE).
///
/// `scores: [rows, width]`, `draws: [rows, DRAW_WORDS]` of [`Draw`] → `[rows]` of u32
#[track_caller]
pub fn draw(pass: &mut Pass, scores: &Tensor, draws: &Tensor) -> Tensor {
    let [rows, width] = scores.dims();
    assert_eq!(draws.dims(), [rows, DRAW_WORDS]);
    let y = pass.tensor(&[rows]);
    pass.dispatch(Dispatch {
        kernel: kernel!("draw"),
        constants: &[("WORKGROUP_SIZE", lanes(pass.gpu.tiers))],
        params: Params {
            width: width as u32,
        },
        inputs: &[scores, draws],
        weight: None,
        outputs: &[&y],
        workgroups: [rows, 1, 1],
    });
    y
}

/// Lanes that share a row: more on software adapters than other rows have, for a lane of Mesa's may not loop
/// more often than 65,535 times in all, and this one goes through the row several times.
fn lanes(tiers: Tiers) -> u32 {
    if tiers.software { 64 } else { 256 }
}

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    stride: u32,
    offset: u32,
    pairs: u32,
    half_split: u32,
}

/// Which columns form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Neighbours, as in the rotary parts of latent attention.
    Interleaved,
    /// A column of the first half and its counterpart of the second, as in Qwen and Llama.
    HalfSplit,
}

/// The rotary columns of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeColumns {
    /// The first one.
    pub offset: usize,
    /// How they pair.
    pub pairing: Pairing,
}

/// Rotates the columns by their token's position, in place.
///
/// `x: [tokens, heads, stride]`, `rotations: [tokens, pairs, 2]` (cosine, sine)
#[track_caller]
pub fn rope(pass: &mut Pass, x: &Tensor, rotations: &Tensor, columns: RopeColumns) {
    let [tokens, heads, stride] = x.dims();
    let [_, pairs, _] = rotations.dims();
    assert_eq!(rotations.dims(), [tokens, pairs, 2]);
    assert!(columns.offset + 2 * pairs <= stride, "{columns:?} of {x:?}");

    pass.dispatch(Dispatch {
        kernel: kernel!("rope"),
        constants: &[],
        params: Params {
            heads: heads as u32,
            stride: stride as u32,
            offset: columns.offset as u32,
            pairs: pairs as u32,
            half_split: u32::from(columns.pairing == Pairing::HalfSplit),
        },
        inputs: &[rotations],
        weight: None,
        outputs: &[x],
        workgroups: [(heads * pairs).div_ceil(64), tokens, 1],
    });
}

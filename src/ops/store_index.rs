use bytemuck::{Pod, Zeroable};

use super::row_lanes;
use crate::gpu::{Cache, Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    width: u32,
    pairs: u32,
    epsilon: f32,
}

/// How a row is centred and scaled (`LayerNorm`, arXiv 1607.06450).
#[derive(Clone, Copy)]
pub struct Centring<'a> {
    /// A factor per column.
    pub gain: &'a Tensor, // [width]
    /// What is added to a column after that.
    pub bias: &'a Tensor, // [width]
    /// What is added to the variance.
    pub epsilon: f32,
}

/// Normalises the first columns, rotates the first of them half-split and puts them into the cache.
///
/// `x: [tokens, stride]`, `rotations: [tokens, pairs, 2]`, `slots: [tokens]` of u32,
/// `cache: [slots, width]`
#[track_caller]
pub fn store_index(
    pass: &mut Pass,
    x: &Tensor,
    norm: Centring,
    rotations: &Tensor,
    slots: &Tensor,
    cache: &Cache,
) {
    let [tokens, stride] = x.dims();
    let [_, pairs, _] = rotations.dims();
    let width = cache.width;
    assert_eq!(rotations.dims(), [tokens, pairs, 2]);
    assert_eq!(slots.dims(), [tokens]);
    assert!(width.is_multiple_of(8), "{width} columns");
    assert_eq!(norm.gain.dims(), [width]);
    assert_eq!(norm.bias.dims(), [width]);
    assert!(
        2 * pairs <= width && width <= stride,
        "{pairs} pairs in {width} of {stride} columns"
    );

    pass.dispatch(Dispatch {
        kernel: kernel!("store_index").over(cache.kind),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers).min(64))],
        params: Params {
            stride: stride as u32,
            width: width as u32,
            pairs: pairs as u32,
            epsilon: norm.epsilon,
        },
        inputs: &[x, norm.gain, norm.bias, rotations, slots],
        weight: None,
        outputs: &[&cache.rows],
        workgroups: [tokens, 1, 1],
    });
}

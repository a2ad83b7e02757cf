use bytemuck::{Pod, Zeroable};

use super::pack_rows::Stored;
use super::row_lanes;
use crate::gpu::{Cache, Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    offset: u32,
    latent: u32,
    pairs: u32,
    rope_start: u32,
    width: u32,
    epsilon: f32,
}

/// Where a token's latent and rotary key lie before and after they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentColumns {
    /// The first column of the latent in `x`; the rotary key follows it.
    pub offset: usize,
    /// The column of the cache at which the rotary key starts.
    pub rope_start: usize,
}

/// Normalises the latents, rotates the shared keys and puts both into the cache.
///
/// `x: [tokens, stride]`, `gain: [latent]`, `rotations: [tokens, pairs, 2]`,
/// `slots: [tokens]` of u32, `cache: [slots, width]`
#[track_caller]
pub fn store_latent(
    pass: &mut Pass,
    x: &Tensor,
    columns: LatentColumns,
    gain: (&Tensor, f32),
    rotations: &Tensor,
    slots: &Tensor,
    cache: &Cache,
) {
    let (gain, epsilon) = gain;
    let [tokens, stride] = x.dims();
    let [latent] = gain.dims();
    let [_, pairs, _] = rotations.dims();
    let width = cache.width;
    let LatentColumns { offset, rope_start } = columns;
    assert_eq!(rotations.dims(), [tokens, pairs, 2]);
    assert_eq!(slots.dims(), [tokens]);
    assert!(
        offset + latent + 2 * pairs <= stride,
        "{columns:?} of {x:?}"
    );
    assert!(
        latent <= rope_start && rope_start + 2 * pairs <= width,
        "{columns:?} in rows of {width} columns"
    );

    let stored = Stored::new(pass, cache, slots);
    pass.dispatch(Dispatch {
        kernel: kernel!("store_latent"),
        constants: &[
            ("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers)),
            stored.constant(),
        ],
        params: Params {
            stride: stride as u32,
            offset: offset as u32,
            latent: latent as u32,
            pairs: pairs as u32,
            rope_start: rope_start as u32,
            width: width as u32,
            epsilon,
        },
        inputs: &[x, gain, rotations, slots],
        weight: None,
        outputs: &[stored.output()],
        workgroups: [tokens, 1, 1],
    });
    stored.finish(pass);
}

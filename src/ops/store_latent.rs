use bytemuck::{Pod, Zeroable};

use crate::gpu::{Cache, Dispatch, Pass, Tensor};
use crate::kernel;

/// Where a token's latent and rotary key lie before and after they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentColumns {
    /// The first column of the latent in `kv`; the rotary key follows it.
    pub offset: usize,
    /// The column of the cache at which the rotary key starts.
    pub rope_start: usize,
}

/// Latents and rotary keys on their way into the cache.
#[derive(Clone, Copy)]
pub struct Latents<'a> {
    /// What holds both.
    pub kv: &'a Tensor, // [tokens, stride]
    /// In which columns.
    pub columns: LatentColumns,
    /// The latents' gain.
    pub gain: &'a Tensor, // [latent]
    /// What is added to their mean squares.
    pub epsilon: f32,
    /// The tokens' rotations.
    pub rotations: &'a Tensor, // [tokens, pairs, 2]
    /// Their rows of the cache.
    pub slots: &'a Tensor, // [tokens] of u32
    /// Where they go.
    pub cache: &'a Cache, // [slots, width]
}

/// The part of a kernel's `Params` that `lib/store_latent_row.wgsl` needs.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct LatentParams {
    kv_stride: u32,
    kv_offset: u32,
    latent: u32,
    pairs: u32,
    rope_start: u32,
    cache_chunks: u32,
    epsilon: f32,
}

impl Latents<'_> {
    /// The parameters of kernels that store them.
    #[track_caller]
    pub(super) fn params(&self) -> LatentParams {
        let [tokens, stride] = self.kv.dims();
        let [latent] = self.gain.dims();
        let [_, pairs, _] = self.rotations.dims();
        let width = self.cache.width;
        let LatentColumns { offset, rope_start } = self.columns;
        assert_eq!(self.rotations.dims(), [tokens, pairs, 2]);
        assert_eq!(self.slots.dims(), [tokens]);
        assert!(width.is_multiple_of(8), "rows of {width} columns");
        assert!(
            offset + latent + 2 * pairs <= stride,
            "{:?} of {:?}",
            self.columns,
            self.kv
        );
        assert!(
            latent <= rope_start && rope_start + 2 * pairs <= width,
            "{:?} in rows of {width} columns",
            self.columns
        );
        LatentParams {
            kv_stride: stride as u32,
            kv_offset: offset as u32,
            latent: latent as u32,
            pairs: pairs as u32,
            rope_start: rope_start as u32,
            cache_chunks: (width / 8) as u32,
            epsilon: self.epsilon,
        }
    }
}

/// Normalises the latents, rotates the shared keys and puts both into the cache.
#[track_caller]
pub fn store_latent(pass: &mut Pass, latents: &Latents) {
    let [tokens, _] = latents.kv.dims();
    let lanes = if pass.gpu.tiers.software { 8 } else { 64 };
    pass.dispatch(Dispatch {
        kernel: kernel!("store_latent").over(latents.cache.kind),
        constants: &[("WORKGROUP_SIZE", lanes)],
        params: latents.params(),
        inputs: &[latents.kv, latents.gain, latents.rotations, latents.slots],
        weight: None,
        outputs: &[&latents.cache.rows],
        workgroups: [tokens, 1, 1],
    });
}

use bytemuck::{Pod, Zeroable};

use super::store_latent::LatentParams;
use super::{
    HeadSlices, Latents, Pairing, RopeColumns, head_lanes, matmul_heads, pad, rope, store_latent,
};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    stride: u32,
    inner: u32,
    outer: u32,
    width: u32,
    latents: LatentParams,
}

/// Tokens up to which launches cost more than what they do.
const FEW: usize = 8;
/// Storage bindings of the kernel, without those of the weight.
const BINDINGS: usize = 7;

/// Queries in the latent's space with their rotated tails behind, and the tokens' latents into the cache.
///
/// In one launch for few tokens, where the device has bindings enough for the weight's format.
///
/// `q: [tokens, heads, inner + 2 * pairs]`, which may change, `weight: [heads, rope_start, inner]`
/// → `[tokens, heads, width]`, where `width` is the cache's
#[track_caller]
pub fn absorb_query(pass: &mut Pass, q: &Tensor, weight: &Weight, latents: &Latents) -> Tensor {
    let [tokens, heads, stride] = q.dims();
    let [_, pairs, _] = latents.rotations.dims();
    let (inner, width) = (weight.columns, latents.cache.width);
    assert_eq!((heads, stride), (weight.count, inner + 2 * pairs), "{q:?}");
    assert_eq!(weight.rows, latents.columns.rope_start);
    let planes = weight.shards.iter().map(|shard| shard.format.planes.len());
    if tokens > FEW || BINDINGS + planes.max().unwrap_or(0) > pass.gpu.storage_bindings {
        return in_three(pass, q, weight, latents);
    }

    let y = pass.tensor(&[tokens, heads, width]);
    let chunked = stride.next_multiple_of(8);
    let q = pad(pass, q, chunked);
    let (workgroup, lanes) = head_lanes(pass.gpu.tiers);
    for (index, shard) in weight.shards.iter().enumerate() {
        // The first launch stores, too.
        let more = usize::from(index == 0);
        pass.dispatch(Dispatch {
            kernel: kernel!("absorb_query").over(latents.cache.kind),
            constants: &[("WORKGROUP_SIZE", workgroup), ("LANES", lanes)],
            params: Params {
                heads: heads as u32,
                stride: (chunked / 8) as u32,
                inner: inner as u32,
                outer: weight.rows as u32,
                width: (width / 8) as u32,
                latents: latents.params(),
            },
            inputs: &[
                &q,
                latents.kv,
                latents.gain,
                latents.rotations,
                latents.slots,
            ],
            weight: Some(shard),
            outputs: &[&y, &latents.cache.rows],
            workgroups: [
                width.div_ceil(4 * (workgroup / lanes) as usize),
                shard.rows / weight.rows + more,
                tokens,
            ],
        });
    }
    y
}

/// The same in launches that bind less.
fn in_three(pass: &mut Pass, q: &Tensor, weight: &Weight, latents: &Latents) -> Tensor {
    let tail = RopeColumns {
        offset: weight.columns,
        pairing: Pairing::Interleaved,
    };
    let slices = HeadSlices {
        inner: weight.columns,
        width: latents.cache.width,
    };
    store_latent(pass, latents);
    rope(pass, q, latents.rotations, tail);
    matmul_heads(pass, q, weight, slices)
}

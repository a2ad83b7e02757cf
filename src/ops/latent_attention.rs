use bytemuck::{Pod, Zeroable};

use super::attend::Attending;
use super::{Keys, Splits};
use crate::gpu::{Dispatch, Kernel, Pass, Tensor, Tiers};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SubgroupParams {
    heads: u32,
    width: u32,
    latent: u32,
    blocks_per_sequence: u32,
    splits: u32,
    split_keys: u32,
    scale: f32,
}

/// What attention made of the parts of each token's context.
pub struct LatentParts {
    /// A part's mean of the latents.
    pub z: Tensor, // [tokens, splits, heads, latent]
    /// Its largest score, and the sum of its exponentials.
    pub stats: Tensor, // [tokens, splits, heads, 2]
    /// How long the contexts are.
    pub positions: Tensor, // [tokens] of u32
    /// How they were split.
    pub splits: Splits,
}

/// Multi-head latent attention in absorbed form: one key head, whose first `latent` columns
/// are the value too.
///
/// `q: [tokens, heads, width]`
#[track_caller]
pub fn latent_attention(
    pass: &mut Pass,
    q: &Tensor,
    keys: &Keys,
    latent: usize,
    splits: Splits,
    scale: f32,
) -> LatentParts {
    let [tokens, heads, width] = q.dims();
    assert_eq!(keys.cache.width, width);
    // A lane has 176 bytes of workgroup memory, of which every device has 16 KiB.
    assert!((8..=680).contains(&latent), "a latent of {latent} columns");
    let attending = Attending {
        q,
        keys,
        kv_heads: 1,
        value: latent,
        splits,
        scale,
    };
    let (params, workgroups) = attending.plan();
    let parts = LatentParts {
        z: pass.tensor(&[tokens, splits.count, heads, latent]),
        stats: pass.tensor(&[tokens, splits.count, heads, 2]),
        positions: keys.positions.clone(),
        splits,
    };
    let tiers = pass.gpu.tiers;
    if keys.cache.is_plain() && fits_a_subgroup(tiers, latent, width) {
        let kernel = kernel!("latent_attention_subgroup");
        in_a_subgroup(pass, kernel, 4, &attending, &parts);
        return parts;
    }
    if suits_registers(tiers, heads) {
        let kernel = kernel!("latent_attention_registers").over(keys.cache.kind);
        in_a_subgroup(pass, kernel, 16, &attending, &parts);
        return parts;
    }
    pass.dispatch(Dispatch {
        kernel: kernel!("latent_attention").over(keys.cache.kind),
        constants: &attending.constants(tiers),
        params,
        inputs: &[
            q,
            &keys.cache.rows,
            keys.positions,
            keys.sequences,
            keys.blocks,
        ],
        weight: None,
        outputs: &[&parts.z, &parts.stats],
        workgroups,
    });
    parts
}

/// By a kernel that works inside a subgroup, on so many heads.
fn in_a_subgroup(
    pass: &mut Pass,
    kernel: Kernel,
    tile: usize,
    attending: &Attending,
    parts: &LatentParts,
) {
    let Attending {
        q,
        keys,
        value,
        splits,
        scale,
        ..
    } = *attending;
    let [tokens, heads, width] = q.dims();
    let [_, blocks_per_sequence] = keys.blocks.dims();
    pass.dispatch(Dispatch {
        kernel,
        constants: &[("BLOCK", keys.block as u32)],
        params: SubgroupParams {
            heads: heads as u32,
            width: (width / 8) as u32,
            latent: (value / 8) as u32,
            blocks_per_sequence: blocks_per_sequence as u32,
            splits: splits.count as u32,
            split_keys: splits.keys as u32,
            scale,
        },
        inputs: &[
            q,
            &keys.cache.rows,
            keys.positions,
            keys.sequences,
            keys.blocks,
        ],
        weight: None,
        outputs: &[&parts.z, &parts.stats],
        workgroups: [heads.div_ceil(tile), splits.count, tokens],
    });
}

/// Whether rows are short enough for the kernel that works inside a subgroup.
///
/// Software adapters only: a barrier costs them more than the exchange of registers within a subgroup.
fn fits_a_subgroup(tiers: Tiers, latent: usize, width: usize) -> bool {
    tiers.exchanges_eight() && latent <= 64 && width <= 96
}

/// Whether the kernel that keeps everything in the registers of a subgroup is the faster one.
///
/// Its tiles of 16 heads want as many. Drivers of software adapters keep in memory what lives longer than a barrier.
fn suits_registers(tiers: Tiers, heads: usize) -> bool {
    tiers.exchanges_eight() && heads > 8
}

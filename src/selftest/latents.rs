//! What latent attention multiplies by: on the way into the latent's space, and out of it.

use super::attention::{EPSILON, rotations};
use super::context::{split_keys, token_positions};
use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise};
use super::weights::Weights;
use crate::gpu::{Cache, Pass, Tensor};
use crate::ops::{self, LatentColumns, LatentParts, Latents, Splits};
use crate::reference;

/// Queries absorbed and rotated, and latents stored, in one launch where the device has the bindings.
pub(super) fn absorb_query(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let Sizes {
        few: tokens,
        heads,
        nope,
        pairs,
        latent,
        ..
    } = *sizes;
    let stride = nope + 2 * pairs;
    let width = (latent + 2 * pairs).next_multiple_of(8);
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let (positions, rotations) = rotations(pass.gpu, tokens, &frequencies);
    let q = noise(tokens * heads * stride, 27);
    let kv = noise(tokens * (latent + 2 * pairs), 28);
    let gains = noise(latent, 29);
    let places: Vec<u32> = (0..tokens as u32).rev().collect();
    let cache = Cache::plain(Tensor::new(pass.gpu, &[tokens, width]));
    let latents = Latents {
        kv: &Tensor::upload(pass.gpu, &[tokens, latent + 2 * pairs], &kv),
        columns: LatentColumns {
            offset: 0,
            rope_start: latent,
        },
        gain: &Tensor::upload(pass.gpu, &[latent], &gains),
        epsilon: EPSILON,
        rotations: &rotations,
        slots: &Tensor::upload(pass.gpu, &[tokens], &places),
        cache: &cache,
    };
    let q_tensor = Tensor::upload(pass.gpu, &[tokens, heads, stride], &q);
    let y = ops::absorb_query(pass, &q_tensor, &weights.heads.weight, &latents);

    let row = |first: Vec<f32>, tail: &[f32], token: usize| {
        let turned = reference::rope_interleaved(tail, &positions[token..=token], &frequencies);
        filled(&[first, turned].concat(), width)
    };
    let head = |(index, head): (usize, &[f32])| {
        let matrix = weights.heads.matrix(index % heads);
        let product = reference::matmul(&head[..nope], matrix, nope);
        row(product, &head[nope..], index / heads)
    };
    let expected = q.chunks(stride).enumerate().flat_map(head).collect();
    // Tokens lie back to front.
    let stored = |token: usize| {
        let (latent, key) =
            kv[token * (latent + 2 * pairs)..][..latent + 2 * pairs].split_at(latent);
        let normed = reference::rms_norm(latent, &gains, f64::from(EPSILON));
        row(normed, key, token)
    };
    let rows = (0..tokens).rev().flat_map(stored).collect();
    let mut trial = weights.heads.trial(&[&q_tensor], y, expected);
    trial.results.push((cache.rows, Expected::Floats(rows)));
    trial
}

/// A row with zeros behind it.
fn filled(row: &[f32], width: usize) -> Vec<f32> {
    let mut row = row.to_vec();
    row.resize(width, 0.0);
    row
}

/// Parts of contexts, some of which have fewer than there could be, merged and multiplied.
pub(super) fn merge_heads(pass: &mut Pass, sizes: &Sizes, weights: &Weights) -> Trial {
    let Sizes {
        few: tokens,
        heads,
        latent,
        ..
    } = *sizes;
    let splits = Splits {
        count: sizes.splits,
        keys: split_keys(sizes),
    };
    let positions = token_positions(sizes);
    let used = |token: usize| {
        (positions[token] + 1)
            .div_ceil(splits.keys)
            .min(splits.count)
    };
    let mut z = noise(tokens * splits.count * heads * latent, 51);
    let mut stats: Vec<f32> = noise(tokens * splits.count * heads * 2, 52);
    for stat in stats.chunks_mut(2) {
        stat[0] *= 10.0;
        stat[1] += 2.0;
    }
    let mut expected = Vec::new();
    for token in 0..tokens {
        let start = token * splits.count;
        let (used, end) = (start + used(token), start + splits.count);
        z[used * heads * latent..end * heads * latent].fill(f32::NAN);
        stats[used * heads * 2..end * heads * 2].fill(f32::NAN);
        for head in 0..heads {
            let rows = (start..used).map(|split| split * heads + head);
            let parts: Vec<_> = rows
                .clone()
                .map(|row| &z[row * latent..][..latent])
                .collect();
            let stats: Vec<_> = rows
                .map(|row| [stats[2 * row], stats[2 * row + 1]])
                .collect();
            let merged = reference::merged(&parts, &stats);
            expected.extend(reference::matmul(
                &merged,
                weights.values.matrix(head),
                latent,
            ));
        }
    }
    let positions: Vec<u32> = positions.iter().map(|&position| position as u32).collect();
    let parts = LatentParts {
        z: Tensor::upload(pass.gpu, &[tokens, splits.count, heads, latent], &z),
        stats: Tensor::upload(pass.gpu, &[tokens, splits.count, heads, 2], &stats),
        positions: Tensor::upload(pass.gpu, &[tokens], &positions),
        splits,
    };
    let y = ops::merge_heads(pass, &parts, &weights.values.weight);
    Trial {
        tolerance: EXPONENTIAL,
        ..weights.values.trial(&[&parts.z, &parts.stats], y, expected)
    }
}

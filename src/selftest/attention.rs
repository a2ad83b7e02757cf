//! Rotations, the cache, and attention over it.

use std::ops::Range;

use super::context::{Context, packed, split_keys};
use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise};
use crate::gpu::{Cache, CacheType, Gpu, Pass, Tensor, cache};
use crate::ops::{self, LatentColumns, Latents, Pairing, RopeColumns, Splits};
use crate::reference::{self, LatentShape};

pub(super) const EPSILON: f32 = 1e-6;

/// Positions far apart, and the rotations that the host makes of them.
pub(super) fn rotations(gpu: &Gpu, tokens: usize, frequencies: &[f64]) -> (Vec<u32>, Tensor) {
    let positions: Vec<u32> = (0..tokens as u32)
        .map(|token| token * token * 1_001)
        .collect();
    let angle = |position: &u32| {
        let angles = frequencies
            .iter()
            .map(move |frequency| f64::from(*position) * frequency);
        angles
            .flat_map(|angle| [angle.cos() as f32, angle.sin() as f32])
            .collect::<Vec<_>>()
    };
    let values: Vec<f32> = positions.iter().flat_map(angle).collect();
    (
        positions,
        Tensor::upload(gpu, &[tokens, frequencies.len(), 2], &values),
    )
}

/// Both pairings, behind columns that stay.
pub(super) fn rope(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let Sizes {
        many: tokens,
        heads,
        nope,
        pairs,
        ..
    } = *sizes;
    let stride = nope + 2 * pairs;
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let (positions, rotations) = rotations(pass.gpu, tokens, &frequencies);
    let values = noise(tokens * heads * stride, 40);
    let rotary = columns_of(&values, stride, nope..stride);
    let cases = [
        (
            Pairing::Interleaved,
            reference::rope_interleaved(&rotary, &positions, &frequencies),
        ),
        (
            Pairing::HalfSplit,
            reference::rope_halves(&rotary, &positions, &frequencies),
        ),
    ];
    let results = cases.map(|(pairing, rotated)| {
        let x = Tensor::upload(pass.gpu, &[tokens, heads, stride], &values);
        ops::rope(
            pass,
            &x,
            &rotations,
            RopeColumns {
                offset: nope,
                pairing,
            },
        );
        let head = |(head, rotated): (&[f32], &[f32])| [&head[..nope], rotated].concat();
        let expected = values
            .chunks(stride)
            .zip(rotated.chunks(2 * pairs))
            .flat_map(head)
            .collect();
        (x, Expected::Floats(expected))
    });
    let bytes = 2 * (rotations.bytes() + 2 * (4 * rotary.len()) as u64);
    let operations = (2 * 3 * rotary.len()) as u64;
    Trial {
        results: results.into(),
        bytes,
        operations,
        ..Trial::of(&[], rotations, Vec::new())
    }
}

fn columns_of(x: &[f32], stride: usize, columns: Range<usize>) -> Vec<f32> {
    x.chunks(stride)
        .flat_map(|row| row[columns.clone()].to_vec())
        .collect()
}

pub(super) fn store_latent(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let Sizes {
        many: tokens,
        latent,
        pairs,
        ..
    } = *sizes;
    let (offset, stride) = (5, 5 + latent + 2 * pairs + 1);
    // Zeros lie between the latent and the rotary key, and behind it.
    let rope_start = latent + 4;
    let width = (rope_start + 2 * pairs + 2).next_multiple_of(8);
    let count = tokens + 3;
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let (positions, rotations) = rotations(pass.gpu, tokens, &frequencies);
    let (values, gains) = (noise(tokens * stride, 41), noise(latent, 42));
    let places: Vec<u32> = (0..tokens)
        .map(|token| (count - 1 - token) as u32)
        .collect();
    let x = Tensor::upload(pass.gpu, &[tokens, stride], &values);
    let gain = Tensor::upload(pass.gpu, &[latent], &gains);
    let slots = Tensor::upload(pass.gpu, &[tokens], &places);
    let cache = Cache::plain(Tensor::upload(
        pass.gpu,
        &[count, width],
        &vec![0.5f32; count * width],
    ));
    let columns = LatentColumns { offset, rope_start };
    let latents = Latents {
        kv: &x,
        columns,
        gain: &gain,
        epsilon: EPSILON,
        rotations: &rotations,
        slots: &slots,
        cache: &cache,
    };
    ops::store_latent(pass, &latents);

    let latents = columns_of(&values, stride, offset..offset + latent);
    let latents = reference::rms_norm(&latents, &gains, f64::from(EPSILON));
    let keys = columns_of(&values, stride, offset + latent..stride - 1);
    let keys = reference::rope_interleaved(&keys, &positions, &frequencies);
    let mut expected = vec![0.5; count * width];
    for (token, place) in places.into_iter().enumerate() {
        let row = &mut expected[place as usize * width..][..width];
        row.fill(0.0);
        row[..latent].copy_from_slice(&latents[token * latent..][..latent]);
        row[rope_start..][..2 * pairs].copy_from_slice(&keys[token * 2 * pairs..][..2 * pairs]);
    }
    let bytes = x.bytes() + gain.bytes() + rotations.bytes() + (4 * tokens * width) as u64;
    Trial {
        bytes,
        operations: (4 * tokens * width) as u64,
        ..Trial::of(&[], cache.rows, expected)
    }
}

/// The whole context of a token in one workgroup.
pub(super) fn latent_attention(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F32, 1)
}

/// A context shared by several workgroups, and their parts merged.
pub(super) fn latent_attention_in_splits(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F32, sizes.splits)
}

/// The same over a cache of half precision.
pub(super) fn latent_attention_over_f16(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F16, sizes.splits)
}

/// The same over a cache of bytes.
pub(super) fn latent_attention_over_q8_0(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::Q8_0, sizes.splits)
}

/// Rows so short that some devices have a kernel for them.
pub(super) fn latent_attention_of_short_rows(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(
        pass,
        &Sizes {
            latent: 40,
            pairs: 4,
            ..*sizes
        },
        &cache::F32,
        sizes.splits,
    )
}

/// Many heads: a whole tile of them and a part.
pub(super) fn latent_attention_of_many_heads(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, &with_many_heads(sizes), &cache::F32, sizes.splits)
}

/// The same over a cache of half precision.
pub(super) fn latent_attention_of_many_heads_over_f16(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, &with_many_heads(sizes), &cache::F16, sizes.splits)
}

/// The same over a cache of bytes.
pub(super) fn latent_attention_of_many_heads_over_q8_0(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, &with_many_heads(sizes), &cache::Q8_0, sizes.splits)
}

fn with_many_heads(sizes: &Sizes) -> Sizes {
    Sizes {
        heads: sizes.heads + 15,
        ..*sizes
    }
}

fn attend(pass: &mut Pass, sizes: &Sizes, kind: &'static CacheType, count: usize) -> Trial {
    let Sizes { heads, latent, .. } = *sizes;
    let shape = LatentShape {
        heads,
        latent,
        rope: (2 * sizes.pairs).next_multiple_of(8),
    };
    let width = latent + shape.rope;
    let context = Context::new(pass.gpu, sizes, kind, [width, width]);
    let splits = Splits {
        count,
        keys: split_keys(sizes),
    };
    let (q, keys) = (&context.q, context.keys());
    let parts = ops::latent_attention(pass, q, &keys, latent, splits, context.scale);
    let (used, expected) = context.expect(|q, cache, visible, scale| {
        let (used, q, visible) = in_splits(q, visible, splits);
        let stats = reference::softmax_stats(&q, cache, &visible, shape, scale);
        let z = reference::latent_attention(&q, cache, &visible, shape, scale);
        (used, [z, stats])
    });
    // Parts that no context has hold anything.
    let rows = Tensor::upload(pass.gpu, &[used.len()], &used);
    let results = [&parts.z, &parts.stats].map(|tensor| {
        let [tokens, splits, heads, columns] = tensor.dims();
        let tensor = tensor.reshape(&[tokens * splits, heads * columns]);
        ops::gather(pass, &tensor, &rows)
    });
    let bytes = q.bytes() + parts.z.bytes() + (context.count * kind.row_bytes(width)) as u64;
    Trial {
        format: packed(kind),
        results: results
            .into_iter()
            .zip(expected.map(Expected::Floats))
            .collect(),
        tolerance: EXPONENTIAL,
        bytes,
        operations: (2 * context.count * heads * (latent + width)) as u64,
    }
}

/// Every part of a context as a token of its own: its row among all parts, its query, what it sees.
fn in_splits(
    q: &[f32],
    visible: &[Vec<usize>],
    splits: Splits,
) -> (Vec<u32>, Vec<f32>, Vec<Vec<usize>>) {
    let (mut rows, mut queries, mut seen) = (vec![], vec![], vec![]);
    for (token, keys) in visible.iter().enumerate() {
        let used = keys.len().div_ceil(splits.keys).min(splits.count);
        for split in 0..used {
            let end = |split: usize| split * keys.len() / used;
            rows.push((token * splits.count + split) as u32);
            queries.extend(
                q.chunks(q.len() / visible.len())
                    .nth(token)
                    .into_iter()
                    .flatten(),
            );
            seen.push(keys[end(split)..end(split + 1)].to_vec());
        }
    }
    (rows, queries, seen)
}

//! What sparse attention chooses keys with.

use super::attention::rotations;
use super::context::{Context, packed};
use super::trial::{Expected, Sizes, Trial, noise};
use crate::gpu::{Cache, CacheType, Pass, Tensor, cache};
use crate::ops::{self, Centring, Chosen, IndexQueries};
use crate::reference;

const EPSILON: f32 = 1e-6;

pub(super) fn store_index(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let Sizes {
        many: tokens,
        latent: width,
        pairs,
        ..
    } = *sizes;
    let (stride, count) = (width + 5, tokens + 3);
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let (positions, rotations) = rotations(pass.gpu, tokens, &frequencies);
    let values = noise(tokens * stride, 80);
    let [gains, biases] = [81, 82].map(|seed| noise(width, seed));
    let places: Vec<u32> = (0..tokens)
        .map(|token| (count - 1 - token) as u32)
        .collect();
    let mut expected = vec![0.5; count * width];
    let cache = Cache::plain(Tensor::upload(pass.gpu, &[count, width], &expected));
    let x = Tensor::upload(pass.gpu, &[tokens, stride], &values);
    let [gain, bias] = [&gains, &biases].map(|values| Tensor::upload(pass.gpu, &[width], values));
    let slots = Tensor::upload(pass.gpu, &[tokens], &places);
    let norm = Centring {
        gain: &gain,
        bias: &bias,
        epsilon: EPSILON,
    };
    ops::store_index(pass, &x, norm, &rotations, &slots, &cache);

    for (token, place) in places.into_iter().enumerate() {
        let row = &values[token * stride..][..width];
        let mut row = reference::layer_norm(row, &gains, &biases, f64::from(EPSILON));
        let (turning, _) = row.split_at_mut(2 * pairs);
        let turned = reference::rope_halves(turning, &positions[token..=token], &frequencies);
        turning.copy_from_slice(&turned);
        expected[place as usize * width..][..width].copy_from_slice(&row);
    }
    Trial {
        bytes: x.bytes() + rotations.bytes() + (4 * tokens * width) as u64,
        operations: (8 * tokens * width) as u64,
        ..Trial::of(&[], cache.rows, expected)
    }
}

pub(super) fn index_scores(pass: &mut Pass, sizes: &Sizes) -> Trial {
    score(pass, sizes, &cache::F32)
}

/// The same over a cache of half precision.
pub(super) fn index_scores_over_f16(pass: &mut Pass, sizes: &Sizes) -> Trial {
    score(pass, sizes, &cache::F16)
}

/// The same over a cache of bytes.
pub(super) fn index_scores_over_q8_0(pass: &mut Pass, sizes: &Sizes) -> Trial {
    score(pass, sizes, &cache::Q8_0)
}

fn score(pass: &mut Pass, sizes: &Sizes, kind: &'static CacheType) -> Trial {
    let Sizes {
        few: tokens,
        heads,
        latent: width,
        ..
    } = *sizes;
    let context = Context::new(pass.gpu, sizes, kind, [width, width]);
    let shares = noise(tokens * heads, 83);
    let weights = Tensor::upload(pass.gpu, &[tokens, heads], &shares);
    let queries = IndexQueries {
        q: &context.q,
        weights: &weights,
        offset: 0,
        scale: context.scale,
    };
    // Fewer than any token has.
    let y = ops::index_scores(pass, queries, &context.keys(), 0..tokens, 0);
    let [_, capacity] = y.dims();
    let mut defined = Vec::new();
    let expected = context.expect(|q, cache, visible, scale| {
        for (token, rows) in visible.iter().enumerate() {
            let start = token * capacity;
            defined.extend((start..start + rows.len()).map(|place| place as u32));
        }
        reference::index_scores(q, &shares, cache, visible, scale).concat()
    });
    // What stands behind a token's position is undefined.
    let rows = Tensor::upload(pass.gpu, &[defined.len()], &defined);
    let bytes = context.q.bytes() + (context.count * (kind.row_bytes(width) + 4)) as u64;
    let scores = ops::gather(pass, &y.reshape(&[tokens * capacity, 1]), &rows);
    Trial {
        format: packed(kind),
        bytes,
        operations: (2 * context.count * heads * width) as u64,
        ..Trial::of(&[], scores, expected)
    }
}

pub(super) fn select_keys(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let Sizes {
        few: tokens, nope, ..
    } = *sizes;
    let width = sizes.latent;
    let context = Context::new(pass.gpu, sizes, &cache::F32, [width, width]);
    let keys = context.keys();
    let [_, per_sequence] = keys.blocks.dims();
    let capacity = per_sequence * keys.block;
    // Many are equal, and of both signs.
    let values: Vec<f32> = noise(tokens * capacity, 84)
        .into_iter()
        .map(|value| (value * 6.0).round() / 3.0)
        .collect();
    let scores = Tensor::upload(pass.gpu, &[tokens, capacity], &values);
    let chosen = Chosen::new(pass, tokens, nope);
    ops::select_keys(pass, &scores, &keys, 0, &chosen);

    let (mut slots, mut last) = (Vec::new(), Vec::new());
    context.expect(|_, _, visible, _| {
        for (rows, scores) in visible.iter().zip(values.chunks(capacity)) {
            let places = reference::select_keys(&scores[..rows.len()], nope);
            last.push(places.len() as u32 - 1);
            // A short list ends in the last key over and over.
            let end = vec![rows.len() - 1; nope - places.len()];
            slots.extend(places.into_iter().chain(end).map(|key| rows[key] as u32));
        }
    });
    let own = (0..tokens as u32).collect();
    let bytes = (4 * context.count) as u64 + chosen.slots.bytes();
    let results = vec![
        (chosen.slots, Expected::Integers(slots)),
        (chosen.last, Expected::Integers(last)),
        (chosen.own, Expected::Integers(own)),
    ];
    Trial {
        results,
        bytes,
        ..Trial::of(&[], scores, Vec::new())
    }
}

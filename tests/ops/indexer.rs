//! What sparse attention chooses keys with.

use tiefsee::gpu::{Cache, CacheType, Gpu, Tensor};
use tiefsee::ops::{self, Centring, Chosen, IndexQueries, Keys, Splits};

use crate::attention::merged;
use crate::common::{assert_near, floats, integers, layouts, noise, run, shuffled};
use crate::context::{BLOCK, Context, POISON, Rows, Scores, WHOLE, kinds};
use crate::reference::{self, LatentShape};
use crate::rotary::{positions, rotations};
use crate::{EXPONENTIAL, ROUNDING};

#[test]
fn store_index() {
    for gpu in layouts() {
        for (tokens, width, pairs, stride) in [
            (1, 8, 1, 8),
            (5, 16, 4, 24),
            (3, 128, 32, 192),
            (2, 64, 32, 65),
        ] {
            check_store_index(&gpu, tokens, [width, stride], pairs);
        }
    }
}

fn check_store_index(gpu: &Gpu, tokens: usize, [width, stride]: [usize; 2], pairs: usize) {
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let positions = positions(tokens);
    let mut x = noise(tokens * stride, 90);
    // Far from zero, so that the mean matters, and a row without variance.
    for value in &mut x {
        *value += 3.0;
    }
    x[..stride].fill(2.0);
    let [gain, bias] = [91, 92].map(|seed| noise(width, seed));
    let places = &shuffled(tokens + 2, 93)[..tokens];
    let mut expected = vec![7.0; (tokens + 2) * width];
    let results = run(gpu, |pass| {
        let cache = Cache::plain(Tensor::upload(gpu, &[tokens + 2, width], &expected));
        let turns = rotations(&positions, &frequencies);
        let norm = Centring {
            gain: &Tensor::upload(gpu, &[width], &gain),
            bias: &Tensor::upload(gpu, &[width], &bias),
            epsilon: 1e-6,
        };
        let x = Tensor::upload(gpu, &[tokens, stride], &x);
        let turns = Tensor::upload(gpu, &[tokens, pairs, 2], &turns);
        let slots = Tensor::upload(gpu, &[tokens], places);
        ops::store_index(pass, &x, norm, &turns, &slots, &cache);
        vec![cache.rows]
    });
    for (token, &place) in places.iter().enumerate() {
        let row = &x[token * stride..][..width];
        let mut row = reference::layer_norm(row, &gain, &bias, 1e-6);
        let turning = &mut row[..2 * pairs];
        let turned = reference::rope_halves(turning, &positions[token..=token], &frequencies);
        turning.copy_from_slice(&turned);
        expected[place as usize * width..][..width].copy_from_slice(&row);
    }
    let what = format!("{tokens} tokens of {width} of {stride} columns, {pairs} pairs");
    assert_near(&floats(&results[0]), &expected, ROUNDING, &what);
}

#[test]
fn index_scores() {
    for gpu in layouts() {
        for (heads, width) in [(1, 8), (8, 16), (5, 24), (64, 128)] {
            for kind in kinds(Scores::Noise) {
                check_index_scores(&gpu, kind, [heads, width], &[1, 2, 130], 0);
                check_index_scores(&gpu, kind, [heads, width], &[700, 40], 50);
            }
        }
    }
}

fn check_index_scores(
    gpu: &Gpu,
    kind: &'static CacheType,
    [heads, width]: [usize; 2],
    lengths: &[usize],
    most: usize,
) {
    let rows = Rows {
        heads,
        query: width,
        width,
    };
    let context = Context::new(rows, kind, lengths, Scores::Noise);
    let tokens = context.positions.len();
    let capacity = context.blocks_per_sequence * BLOCK;
    let (offset, stride) = (3, heads + 4);
    let wide = noise(tokens * stride, 94);
    let weights: Vec<f32> = wide
        .chunks(stride)
        .flat_map(|row| row[offset..][..heads].to_vec())
        .collect();
    let expected = reference::index_scores(
        &context.q,
        &weights,
        &context.cache,
        &context.visible,
        f64::from(context.scale),
    );
    // All tokens, and some of those in the middle.
    for first in [0, tokens / 2] {
        let actual = context.run(gpu, |pass, q, keys| {
            let queries = IndexQueries {
                q,
                weights: &Tensor::upload(gpu, &[tokens, stride], &wide),
                offset,
                scale: context.scale,
            };
            vec![ops::index_scores(pass, queries, keys, first..tokens, most)]
        });
        let actual = &actual[0];
        assert_eq!(actual.len(), (tokens - first) * capacity);
        for (actual, expected) in actual.chunks(capacity).zip(&expected[first..]) {
            if expected.len() > most {
                let what = format!("{heads} heads of {width} over {lengths:?}, {}", kind.name);
                assert_near(&actual[..expected.len()], expected, ROUNDING, &what);
            }
        }
    }
}

#[test]
fn select_keys() {
    for gpu in layouts() {
        for (contexts, most) in [
            (vec![1, 2, 5, 6, 24, 700], 5),
            (vec![300, 1, 255, 256, 257], 256),
            (vec![2, 1, 1000], 1),
            (vec![5000, 2048, 2049], 2048),
        ] {
            for steps in [0.0, 1.0, 40.0, 1e7] {
                check_select_keys(&gpu, &contexts, most, steps);
            }
        }
    }
}

/// Scores are whole numbers of `steps` steps: few of them leave many equal.
fn check_select_keys(gpu: &Gpu, contexts: &[usize], most: usize, steps: f32) {
    let tokens = contexts.len();
    let per_sequence = contexts.iter().max().unwrap().div_ceil(BLOCK) + 1;
    let capacity = per_sequence * BLOCK;
    let blocks = shuffled(tokens * per_sequence, 95);
    let mut scores: Vec<f32> = noise(tokens * capacity, 96)
        .into_iter()
        .map(|value| (value * steps).round())
        .collect();
    for (row, &context) in scores.chunks_mut(capacity).zip(contexts) {
        row[context..].fill(POISON);
        if context <= most {
            row.fill(POISON);
        }
    }
    // The first token is none of the second launch's.
    let results = run(gpu, |pass| {
        let last: Vec<u32> = contexts.iter().map(|&context| context as u32 - 1).collect();
        let own: Vec<u32> = (0..tokens as u32).collect();
        let keys = Keys {
            cache: &Cache::plain(Tensor::upload(gpu, &[1, 4], &[0.0f32; 4])),
            positions: &Tensor::upload(gpu, &[tokens], &last),
            sequences: &Tensor::upload(gpu, &[tokens], &own),
            blocks: &Tensor::upload(gpu, &[tokens, per_sequence], &blocks),
            block: BLOCK,
        };
        let (first, rest) = scores.split_at(capacity);
        let chosen = Chosen::new(pass, tokens, most);
        let first = Tensor::upload(gpu, &[1, capacity], first);
        ops::select_keys(pass, &first, &keys, 0, &chosen);
        let rest = Tensor::upload(gpu, &[tokens - 1, capacity], rest);
        ops::select_keys(pass, &rest, &keys, 1, &chosen);
        vec![chosen.slots, chosen.last, chosen.own]
    });
    let [slots, last, own] = [0, 1, 2].map(|index| integers(&results[index]));
    assert_eq!(own, (0..tokens as u32).collect::<Vec<_>>());
    for (token, &context) in contexts.iter().enumerate() {
        let scores = &scores[token * capacity..][..context];
        let keys = if context <= most {
            (0..context).collect()
        } else {
            reference::select_keys(scores, most)
        };
        let slot = |&key: &usize| {
            blocks[token * per_sequence + key / BLOCK] * BLOCK as u32 + (key % BLOCK) as u32
        };
        let expected: Vec<u32> = keys.iter().map(slot).collect();
        let what = format!("{most} of {context} keys, {steps} steps");
        assert_eq!(last[token] as usize, keys.len() - 1, "{what}");
        assert_eq!(&slots[token * most..][..keys.len()], expected, "{what}");
    }
}

#[test]
fn attention_over_chosen_keys() {
    for gpu in layouts() {
        for (latent, rope) in [(24, 8), (64, 32), (512, 64)] {
            let shape = LatentShape {
                heads: 5,
                latent,
                rope,
            };
            for kind in kinds(Scores::Noise) {
                for splits in [WHOLE, Splits { count: 16, keys: 8 }] {
                    check_attention(&gpu, kind, shape, splits);
                }
            }
        }
    }
}

fn check_attention(gpu: &Gpu, kind: &'static CacheType, shape: LatentShape, splits: Splits) {
    let (most, width) = (37, shape.latent + shape.rope);
    let rows = Rows {
        heads: shape.heads,
        query: width,
        width,
    };
    let context = Context::new(rows, kind, &[1, 40, 700], Scores::Noise);
    let tokens = context.positions.len();
    let capacity = context.blocks_per_sequence * BLOCK;
    let scores = noise(tokens * capacity, 97);
    let actual = context.run(gpu, |pass, q, keys| {
        let scores = Tensor::upload(gpu, &[tokens, capacity], &scores);
        let chosen = Chosen::new(pass, tokens, most);
        ops::select_keys(pass, &scores, keys, 0, &chosen);
        let keys = chosen.keys(keys.cache);
        let parts = ops::latent_attention(pass, q, &keys, shape.latent, splits, context.scale);
        vec![parts.z, parts.stats]
    });
    let chosen = |(rows, scores): (&Vec<usize>, &[f32])| {
        let keys = reference::select_keys(&scores[..rows.len()], most);
        keys.into_iter().map(|key| rows[key]).collect()
    };
    let visible = context.visible.iter().zip(scores.chunks(capacity));
    let visible: Vec<Vec<usize>> = visible.map(chosen).collect();
    let scale = f64::from(context.scale);
    let expected = reference::latent_attention(&context.q, &context.cache, &visible, shape, scale);
    let what = format!("{shape:?} over {} in {splits:?}", kind.name);
    let contexts: Vec<_> = visible.iter().map(Vec::len).collect();
    let actual = merged(&actual, shape, &contexts, splits);
    assert_near(&actual, &expected, EXPONENTIAL, &what);
}

#[test]
fn zeros_of_both_signs_are_equal() {
    let gpu = &layouts()[0];
    let scores = [-1.0, 0.0, -0.0, 0.0, -0.0, 1.0, f32::MIN, f32::MAX];
    let results = run(gpu, |pass| {
        let keys = Keys {
            cache: &Cache::plain(Tensor::upload(gpu, &[1, 4], &[0.0f32; 4])),
            positions: &Tensor::upload(gpu, &[1], &[7u32]),
            sequences: &Tensor::upload(gpu, &[1], &[0u32]),
            blocks: &Tensor::upload(gpu, &[1, 1], &[0u32]),
            block: scores.len(),
        };
        let chosen = Chosen::new(pass, 1, 5);
        let scores = Tensor::upload(gpu, &[1, scores.len()], &scores);
        ops::select_keys(pass, &scores, &keys, 0, &chosen);
        vec![chosen.slots]
    });
    assert_eq!(integers(&results[0]), [1, 2, 3, 5, 7]);
    assert_eq!(reference::select_keys(&scores, 5), [1, 2, 3, 5, 7]);
}

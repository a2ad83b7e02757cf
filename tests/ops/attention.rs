//! Attention over a cache whose blocks lie anywhere, whole and in splits.

use tiefsee::formats;
use tiefsee::gpu::{CacheType, Gpu, Tensor};
use tiefsee::ops::{self, LatentParts, Splits};

use crate::common::{
    assert_near, layouts, layouts_with_formats, noise, open, run_f32, stored, upload,
};
use crate::context::{Context, POISON, Rows, Scores, WHOLE, kinds};
use crate::reference::{self, LatentShape};
use crate::{EXPONENTIAL, ROUNDING};

#[test]
fn latent_attention() {
    for gpu in layouts() {
        for (latent, rope) in [(24, 8), (64, 32)] {
            for heads in [1, 3, 5, 16] {
                let shape = LatentShape {
                    heads,
                    latent,
                    rope,
                };
                for length in LENGTHS {
                    check_latent_attention(&gpu, shape, &[length], WHOLE, Scores::Noise);
                }
            }
        }
        for (heads, latent, rope) in [
            (16, 512, 64),
            (5, 56, 24),
            (1, 8, 8),
            (5, 680, 8),
            (21, 72, 8),
        ] {
            let shape = LatentShape {
                heads,
                latent,
                rope,
            };
            check_latent_attention(&gpu, shape, &[700], WHOLE, Scores::Noise);
            check_latent_attention(&gpu, shape, &[65, 1, 130, 2], WHOLE, Scores::Noise);
        }
    }
}

/// Rows of whole chunks of eight columns, which a device may treat apart, and others.
const SHAPES: [LatentShape; 4] = [
    LatentShape {
        heads: 5,
        latent: 24,
        rope: 8,
    },
    LatentShape {
        heads: 5,
        latent: 64,
        rope: 32,
    },
    LatentShape {
        heads: 4,
        latent: 16,
        rope: 8,
    },
    LatentShape {
        heads: 3,
        latent: 56,
        rope: 40,
    },
];
const LENGTHS: [usize; 10] = [1, 2, 63, 64, 65, 127, 128, 129, 130, 700];

#[test]
fn latent_attention_with_hard_scores() {
    let gpu = open();
    for shape in SHAPES {
        for scores in [Scores::Equal, Scores::Huge] {
            for splits in [WHOLE, Splits { count: 16, keys: 8 }] {
                check_latent_attention(&gpu, shape, &LENGTHS, splits, scores);
            }
        }
    }
}

#[test]
fn latent_attention_in_splits() {
    for gpu in layouts() {
        for splits in [
            Splits {
                count: 16,
                keys: 128,
            },
            Splits { count: 16, keys: 8 },
            Splits { count: 3, keys: 1 },
            // 17 keys in 16 splits: some of them find nothing.
            Splits { count: 16, keys: 1 },
        ] {
            for shape in SHAPES {
                check_latent_attention(&gpu, shape, &LENGTHS, splits, Scores::Noise);
                check_latent_attention(&gpu, shape, &[17, 33, 18], splits, Scores::Noise);
            }
        }
        let shape = LatentShape {
            heads: 16,
            latent: 512,
            rope: 64,
        };
        let splits = Splits {
            count: 16,
            keys: 128,
        };
        check_latent_attention(&gpu, shape, &[700, 129], splits, Scores::Noise);
    }
}

fn check_latent_attention(
    gpu: &Gpu,
    shape: LatentShape,
    lengths: &[usize],
    splits: Splits,
    scores: Scores,
) {
    for kind in kinds(scores) {
        check_latent_attention_over(gpu, kind, shape, lengths, splits, scores);
    }
}

fn check_latent_attention_over(
    gpu: &Gpu,
    kind: &'static CacheType,
    shape: LatentShape,
    lengths: &[usize],
    splits: Splits,
    scores: Scores,
) {
    let LatentShape {
        heads,
        latent,
        rope,
    } = shape;
    let rows = Rows {
        heads,
        query: latent + rope,
        width: latent + rope,
    };
    let context = Context::new(rows, kind, lengths, scores);
    let scale = context.scale;
    let actual = context.run(gpu, |pass, q, keys| {
        let parts = ops::latent_attention(pass, q, keys, latent, splits, scale);
        vec![parts.z, parts.stats]
    });
    let Context {
        q, cache, visible, ..
    } = &context;
    let expected = reference::latent_attention(q, cache, visible, shape, f64::from(scale));
    let what = format!(
        "{shape:?} over {lengths:?} of {} in {splits:?}, {scores:?}",
        kind.name
    );
    let contexts: Vec<_> = visible.iter().map(Vec::len).collect();
    let actual = merged(&actual, shape, &contexts, splits);
    assert_near(&actual, &expected, EXPONENTIAL, &what);
}

/// The parts of each token's context put together, the way [`ops::merge_heads`] does before it multiplies.
pub(crate) fn merged(
    parts: &[Vec<f32>],
    shape: LatentShape,
    contexts: &[usize],
    splits: Splits,
) -> Vec<f32> {
    let [z, stats] = parts else {
        panic!("{} results", parts.len())
    };
    let mut merged = Vec::new();
    for (token, context) in contexts.iter().enumerate() {
        let used = context.div_ceil(splits.keys).min(splits.count);
        for head in 0..shape.heads {
            let rows = (0..used).map(|split| (token * splits.count + split) * shape.heads + head);
            let part = |row: usize| &z[row * shape.latent..][..shape.latent];
            let stat = |row: usize| [stats[2 * row], stats[2 * row + 1]];
            // A part without keys has no mean.
            let rows: Vec<_> = rows.filter(|&row| stat(row)[1] > 0.0).collect();
            let parts: Vec<_> = rows.iter().map(|&row| part(row)).collect();
            let stats: Vec<_> = rows.iter().map(|&row| stat(row)).collect();
            merged.extend(reference::merged(&parts, &stats));
        }
    }
    merged
}

#[test]
#[should_panic(expected = "a latent of 688 columns")]
fn latents_beyond_the_workgroup_memory_are_refused() {
    let shape = LatentShape {
        heads: 1,
        latent: 688,
        rope: 8,
    };
    check_latent_attention(&open(), shape, &[1], WHOLE, Scores::Noise);
}

#[test]
fn merge_heads() {
    for (gpu, format) in layouts_with_formats() {
        for (splits, heads, latent, outer) in [(5, 5, 24, 12), (1, 3, 32, 5), (16, 2, 136, 20)] {
            let splits = Splits {
                count: splits,
                keys: 10,
            };
            check_merge_heads(&gpu, format, splits, [heads, latent, outer]);
        }
    }
}

fn check_merge_heads(
    gpu: &Gpu,
    format: &'static formats::Format,
    splits: Splits,
    [heads, latent, outer]: [usize; 3],
) {
    let Splits { count, keys } = splits;
    // From a single key to far more than the splits can share evenly.
    let contexts = [1, keys + 1, 2 * keys, count * keys + 1, 9 * count * keys];
    let tokens = contexts.len();
    let mut z = noise(tokens * count * heads * latent, 43);
    let mut stats = noise(tokens * count * heads * 2, 44);
    for (index, stat) in stats.chunks_mut(2).enumerate() {
        let (token, split) = (index / heads / count, index / heads % count);
        // Largest scores up to 200 apart, so that some splits weigh nothing.
        stat[0] *= if index % 3 == 0 { 100.0 } else { 3.0 };
        stat[1] = 1.0 + stat[1].abs() * 50.0;
        if split == 1 && token == 3 && count > 1 {
            // A part without keys.
            stat.copy_from_slice(&[-1e30, 0.0]);
            z[index * latent..][..latent].fill(POISON);
        }
        if split >= contexts[token].div_ceil(keys).min(count) {
            stat.fill(POISON);
            z[index * latent..][..latent].fill(POISON);
        }
    }
    let weight = noise(heads * outer * latent, 45);
    let actual = run_f32(gpu, |pass| {
        let positions = contexts.map(|context| context as u32 - 1);
        let parts = LatentParts {
            z: Tensor::upload(gpu, &[tokens, count, heads, latent], &z),
            stats: Tensor::upload(gpu, &[tokens, count, heads, 2], &stats),
            positions: Tensor::upload(gpu, &[tokens], &positions),
            splits,
        };
        let weight = upload(gpu, format, [heads, outer, latent], &weight);
        ops::merge_heads(pass, &parts, &weight)
    });
    let shape = LatentShape {
        heads,
        latent,
        rope: 0,
    };
    let merged = merged(&[z, stats], shape, &contexts, splits);
    let weight = stored(format, &weight, latent);
    let expected = reference::matmul_heads(&merged, &weight, heads, latent);
    let what = format!("{} in {splits:?}, {heads} heads of {latent}", format.name);
    assert_near(&actual, &expected, EXPONENTIAL.max(ROUNDING), &what);
}

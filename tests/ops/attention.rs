//! Attention over a cache whose blocks lie anywhere, whole and in splits.

use tiefsee::gpu::{CacheType, Gpu, Tensor};
use tiefsee::ops::{self, Splits};

use crate::common::{assert_near, layouts, noise, open, run_f32};
use crate::context::{Context, POISON, Rows, Scores, WHOLE, kinds};
use crate::reference::{self, LatentShape};
use crate::{EXPONENTIAL, ROUNDING};

#[test]
fn latent_attention() {
    for gpu in layouts() {
        for (latent, rope) in [(28, 8), (64, 32)] {
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
            (1, 4, 4),
            (1, 8, 8),
            (5, 680, 4),
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
        latent: 28,
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
        ops::latent_attention(pass, q, keys, latent, splits, scale)
    });
    let Context {
        q, cache, visible, ..
    } = &context;
    let expected = reference::latent_attention(q, cache, visible, shape, f64::from(scale));
    let what = format!(
        "{shape:?} over {lengths:?} of {} in {splits:?}, {scores:?}",
        kind.name
    );
    assert_near(&actual, &expected, EXPONENTIAL, &what);
}

#[test]
#[should_panic(expected = "a latent of 684 columns")]
fn latents_beyond_the_workgroup_memory_are_refused() {
    let shape = LatentShape {
        heads: 1,
        latent: 684,
        rope: 4,
    };
    check_latent_attention(&open(), shape, &[1], WHOLE, Scores::Noise);
}

#[test]
fn merge_splits() {
    let gpu = open();
    for (splits, heads, latent, split_keys) in [(1, 1, 4, 1), (5, 5, 28, 10), (16, 16, 512, 128)] {
        check_merge_splits(&gpu, [splits, heads, latent], split_keys);
    }
}

fn check_merge_splits(gpu: &Gpu, [splits, heads, latent]: [usize; 3], split_keys: usize) {
    // From a single key to far more than the splits can share evenly.
    let positions = [
        0,
        split_keys,
        2 * split_keys - 1,
        splits * split_keys,
        9 * splits * split_keys,
    ];
    let tokens = positions.len();
    let mut z = noise(tokens * splits * heads * latent, 43);
    let mut stats = noise(tokens * splits * heads * 2, 44);
    for (index, stat) in stats.chunks_mut(2).enumerate() {
        let (token, split) = (index / heads / splits, index / heads % splits);
        // Largest scores up to 200 apart, so that some splits weigh nothing.
        stat[0] *= if index % 3 == 0 { 100.0 } else { 3.0 };
        stat[1] = 1.0 + stat[1].abs() * 50.0;
        if split >= used_splits(positions[token], splits, split_keys) {
            stat.fill(POISON);
            z[index * latent..][..latent].fill(POISON);
        }
    }
    let actual = run_f32(gpu, |pass| {
        let z = Tensor::upload(gpu, &[tokens, splits, heads, latent], &z);
        let stats = Tensor::upload(gpu, &[tokens, splits, heads, 2], &stats);
        let positions = positions.map(|position| position as u32);
        let positions = Tensor::upload(gpu, &[tokens], &positions);
        ops::merge_splits(pass, &z, &stats, &positions, split_keys)
    });
    let mut expected = Vec::new();
    for (token, &position) in positions.iter().enumerate() {
        for head in 0..heads {
            let used = used_splits(position, splits, split_keys);
            let rows = (0..used).map(|split| (token * splits + split) * heads + head);
            expected.extend(merged(&z, &stats, &rows.collect::<Vec<_>>(), latent));
        }
    }
    let what = format!("{splits} splits of {split_keys} keys, {heads} heads of {latent}");
    assert_near(&actual, &expected, EXPONENTIAL.max(ROUNDING), &what);
}

/// Splits that a context has, however many there could be.
fn used_splits(position: usize, splits: usize, split_keys: usize) -> usize {
    (position + 1).div_ceil(split_keys).min(splits)
}

/// The mean of some rows of `z`, weighted by their sums of exponentials.
fn merged(z: &[f32], stats: &[f32], rows: &[usize], latent: usize) -> Vec<f32> {
    let largest = rows
        .iter()
        .map(|row| stats[2 * row])
        .fold(f32::MIN, f32::max);
    let share =
        |row: usize| f64::from(stats[2 * row + 1]) * f64::from(stats[2 * row] - largest).exp();
    let total: f64 = rows.iter().map(|&row| share(row)).sum();
    let column = |column: usize| {
        let sum: f64 = rows
            .iter()
            .map(|&row| share(row) * f64::from(z[row * latent + column]))
            .sum();
        (sum / total) as f32
    };
    (0..latent).map(column).collect()
}

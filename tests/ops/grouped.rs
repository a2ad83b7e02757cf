//! Grouped-query attention: what becomes of a joined projection, and attention over the cache.

use tiefsee::gpu::{Cache, CacheType, Gpu, Tensor, cache};
use tiefsee::ops::{self, HeadNorms, JoinedHeads, KeyHeads, Pairing, RopeColumns, Splits};

use crate::common::{assert_near, floats, layouts, noise, open, run};
use crate::context::{Context, Rows, Scores, WHOLE, kinds};
use crate::reference::{self, GroupedShape, HeadRule};
use crate::rotary::{positions, rotations};
use crate::{EXPONENTIAL, ROUNDING};

const EPSILON: f32 = 1e-6;

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> GroupedShape {
    GroupedShape {
        heads,
        kv_heads,
        head_dim,
    }
}

/// How they lie in the cache.
fn key_heads(shape: GroupedShape) -> KeyHeads {
    KeyHeads {
        count: shape.kv_heads,
        columns: shape.head_dim,
    }
}

/// Heads with zeros that fill them up.
fn filled(heads: &[f32], shape: GroupedShape) -> Vec<f32> {
    let width = key_heads(shape).width();
    let zeros = vec![0.0; width - shape.head_dim];
    let fill = |head: &[f32]| [head, &zeros].concat();
    heads.chunks(shape.head_dim).flat_map(fill).collect()
}

#[test]
fn store_heads() {
    for gpu in layouts() {
        for (shape, offset, pairs, tokens) in [
            (shape(1, 1, 4), 0, 2, 1),
            (shape(3, 1, 8), 0, 4, 6),
            (shape(4, 2, 12), 4, 3, 2),
            (shape(10, 5, 80), 0, 20, 3),
            (shape(12, 2, 128), 0, 64, 6),
            (shape(2, 1, 256), 64, 64, 2),
        ] {
            for pairing in [Pairing::Interleaved, Pairing::HalfSplit] {
                for (bias, norms) in [(false, false), (true, false), (false, true), (true, true)] {
                    let columns = RopeColumns { offset, pairing };
                    check_store_heads(&gpu, shape, columns, [pairs, tokens], bias, norms);
                }
            }
        }
    }
}

fn check_store_heads(
    gpu: &Gpu,
    shape: GroupedShape,
    columns: RopeColumns,
    [pairs, tokens]: [usize; 2],
    with_bias: bool,
    with_norms: bool,
) {
    const SLOTS: usize = 17;
    let GroupedShape {
        heads,
        kv_heads,
        head_dim,
    } = shape;
    let row = (heads + 2 * kv_heads) * head_dim;
    let [x, bias, q_gain, k_gain] =
        [tokens * row, row, head_dim, head_dim].map(|count| noise(count, 60 + count as u64));
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let positions = positions(tokens);
    let slots = [16u32, 0, 5, 1, 11, 7];
    // What was in the cache stays where nothing is stored, and goes where something is.
    let row_width = key_heads(shape).row();
    let mut cache = vec![7.5f32; SLOTS * row_width];
    let results = run(gpu, |pass| {
        let vector = |values: &[f32]| Tensor::upload(gpu, &[values.len()], values);
        let [bias, q_gain, k_gain] = [&bias, &q_gain, &k_gain].map(|values| vector(values));
        let cache = Cache::plain(Tensor::upload(gpu, &[SLOTS, row_width], &cache));
        let rotations = rotations(&positions, &frequencies);
        let rotations = Tensor::upload(gpu, &[tokens, pairs, 2], &rotations);
        let joined = JoinedHeads {
            heads,
            kv_heads,
            bias: with_bias.then_some(&bias),
            norms: with_norms.then_some(HeadNorms {
                q_gain: &q_gain,
                k_gain: &k_gain,
                epsilon: EPSILON,
            }),
            rotary: columns,
        };
        let slots = Tensor::upload(gpu, &[tokens], &slots[..tokens]);
        let x = Tensor::upload(gpu, &[tokens, row], &x);
        let q = ops::store_heads(pass, &x, &joined, &rotations, &slots, &cache);
        vec![q, cache.rows]
    });
    let rule = HeadRule {
        bias: with_bias.then_some(&bias),
        norms: with_norms.then_some((&q_gain, &k_gain, f64::from(EPSILON))),
        offset: columns.offset,
        frequencies: &frequencies,
        half_split: columns.pairing == Pairing::HalfSplit,
    };
    let (q, rows) = reference::joined_heads(&x, &positions, shape, &rule);
    for (row, slot) in filled(&rows, shape).chunks(row_width).zip(slots) {
        cache[slot as usize * row_width..][..row_width].copy_from_slice(row);
    }
    let what = format!("{shape:?} {columns:?} {pairs} pairs, {with_bias} {with_norms}");
    assert_near(&floats(&results[0]), &filled(&q, shape), ROUNDING, &what);
    assert_near(&floats(&results[1]), &cache, ROUNDING, &what);
}

const LENGTHS: [usize; 8] = [1, 2, 31, 32, 33, 129, 256, 700];

#[test]
fn grouped_attention() {
    for gpu in layouts() {
        for group in 1..=9 {
            let shape = shape(2 * group, 2, 16);
            check_grouped_attention(&gpu, shape, &LENGTHS, WHOLE, Scores::Noise);
        }
        for head_dim in [4, 8, 12, 16, 60, 64, 80, 96, 128, 132, 252, 256] {
            for (heads, kv_heads) in [(1, 1), (6, 2), (15, 3)] {
                let shape = shape(heads, kv_heads, head_dim);
                check_grouped_attention(&gpu, shape, &[65, 1, 300, 2], WHOLE, Scores::Noise);
            }
        }
        check_grouped_attention(&gpu, shape(3, 1, 128), &[5000], WHOLE, Scores::Noise);
    }
}

#[test]
fn grouped_attention_in_splits() {
    for gpu in layouts() {
        for (count, keys) in [(16, 128), (16, 8), (3, 1), (16, 1)] {
            let splits = Splits { count, keys };
            for shape in [shape(5, 1, 12), shape(14, 2, 64), shape(4, 4, 80)] {
                check_grouped_attention(&gpu, shape, &LENGTHS, splits, Scores::Noise);
                check_grouped_attention(&gpu, shape, &[17, 33, 18], splits, Scores::Noise);
            }
        }
    }
}

#[test]
fn grouped_attention_with_hard_scores() {
    let gpu = open();
    for shape in [shape(5, 1, 12), shape(12, 2, 128)] {
        for scores in [Scores::Equal, Scores::Huge] {
            for splits in [WHOLE, Splits { count: 16, keys: 8 }] {
                check_grouped_attention(&gpu, shape, &LENGTHS, splits, scores);
            }
        }
    }
}

fn check_grouped_attention(
    gpu: &Gpu,
    shape: GroupedShape,
    lengths: &[usize],
    splits: Splits,
    scores: Scores,
) {
    for kind in kinds(scores) {
        check_grouped_attention_over(gpu, kind, shape, lengths, splits, scores);
    }
}

fn check_grouped_attention_over(
    gpu: &Gpu,
    kind: &'static CacheType,
    shape: GroupedShape,
    lengths: &[usize],
    splits: Splits,
    scores: Scores,
) {
    let key_heads = key_heads(shape);
    let rows = Rows {
        heads: shape.heads,
        query: key_heads.width(),
        width: key_heads.row(),
    };
    let context = Context::new(rows, kind, lengths, scores);
    let scale = context.scale;
    let tickets = Tensor::new(gpu, &[context.positions.len() * shape.heads]);
    // Twice: tickets are where they were.
    let actual = context.run(gpu, |pass, q, keys| {
        let mut once = || ops::grouped_attention(pass, q, keys, key_heads, splits, &tickets, scale);
        vec![once(), once()]
    });
    let Context {
        q, cache, visible, ..
    } = &context;
    // Heads as wide as what fills them up, which is noise here; of the result it is no part.
    let wide = GroupedShape {
        head_dim: key_heads.width(),
        ..shape
    };
    let expected = reference::grouped_attention(q, cache, visible, wide, f64::from(scale));
    let cut = |head: &[f32]| head[..shape.head_dim].to_vec();
    let expected: Vec<f32> = expected.chunks(wide.head_dim).flat_map(cut).collect();
    assert_eq!(actual[0], actual[1], "{shape:?} in {splits:?}: again");
    let actual = &actual[0];
    let what = format!(
        "{shape:?} over {lengths:?} of {} in {splits:?}, {scores:?}",
        kind.name
    );
    assert_near(actual, &expected, EXPONENTIAL, &what);
}

#[test]
#[should_panic(expected = "heads of 260 columns")]
fn heads_beyond_the_lanes_are_refused() {
    check_grouped_attention(&open(), shape(1, 1, 260), &[1], WHOLE, Scores::Noise);
}

#[test]
fn groups_of_one_are_ordinary_attention() {
    let shape = shape(3, 3, 8);
    let context = Context::new(
        Rows {
            heads: 3,
            query: 8,
            width: 48,
        },
        &cache::F32,
        &[40],
        Scores::Noise,
    );
    let part = |row: &[f32], half: usize| row[half * 24..][..24].to_vec();
    let [keys, values] = [0, 1].map(|half| {
        let rows = context.cache.chunks(48);
        rows.flat_map(|row| part(row, half)).collect::<Vec<_>>()
    });
    let heads = reference::HeadShape {
        heads: 3,
        key: 8,
        value: 8,
    };
    let (q, visible) = (&context.q, &context.visible);
    let naive = reference::naive_attention(q, &keys, &values, visible, heads, 0.5);
    let grouped = reference::grouped_attention(q, &context.cache, visible, shape, 0.5);
    assert_near(&grouped, &naive, 1e-7, "groups of one");
}

//! Joined projections, and attention in which groups of heads share keys and values.

use super::attention::rotations;
use super::context::{Context, packed, split_keys};
use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise};
use crate::gpu::{Cache, CacheType, Pass, Tensor, cache};
use crate::ops::{self, HeadNorms, JoinedHeads, KeyHeads, Pairing, RopeColumns, Splits};
use crate::reference::{self, GroupedShape, HeadRule};

const EPSILON: f32 = 1e-6;

/// As many groups as go evenly, and not four heads in each.
fn shape(sizes: &Sizes) -> GroupedShape {
    GroupedShape {
        heads: sizes.heads,
        kv_heads: if sizes.heads.is_multiple_of(2) { 2 } else { 1 },
        head_dim: sizes.head_dim,
    }
}

/// How they lie in the cache.
fn key_heads(shape: GroupedShape) -> KeyHeads {
    KeyHeads {
        count: shape.kv_heads,
        columns: shape.head_dim,
    }
}

/// Heads with what fills them up.
fn filled(heads: &[f32], shape: GroupedShape) -> Vec<f32> {
    let fill = |head: &[f32]| {
        let mut head = head.to_vec();
        head.resize(key_heads(shape).width(), 0.0);
        head
    };
    heads.chunks(shape.head_dim).flat_map(fill).collect()
}

/// Nothing but the rotation, as in Llama.
pub(super) fn store_heads(pass: &mut Pass, sizes: &Sizes) -> Trial {
    store(pass, sizes, false, Pairing::HalfSplit)
}

/// Bias, norms and rotation.
pub(super) fn store_heads_with_all(pass: &mut Pass, sizes: &Sizes) -> Trial {
    store(pass, sizes, true, Pairing::Interleaved)
}

fn store(pass: &mut Pass, sizes: &Sizes, all: bool, pairing: Pairing) -> Trial {
    let (tokens, shape) = (sizes.many, shape(sizes));
    let GroupedShape {
        heads,
        kv_heads,
        head_dim,
    } = shape;
    let width = (heads + 2 * kv_heads) * head_dim;
    let count = tokens + 3;
    // Where not all turn, the columns before stay.
    let pairs = if all { head_dim / 2 - 1 } else { head_dim / 2 };
    let offset = head_dim - 2 * pairs;
    let frequencies = reference::rope_frequencies(2 * pairs, 10_000.0, None);
    let (positions, rotations) = rotations(pass.gpu, tokens, &frequencies);
    let [x, bias, q_gain, k_gain] = [tokens * width, width, head_dim, head_dim]
        .map(|count| noise(count, 70 + (count % 7) as u64));
    let places: Vec<u32> = (3..count as u32).rev().collect();
    let rule = HeadRule {
        bias: all.then_some(&*bias),
        norms: all.then_some((&*q_gain, &*k_gain, f64::from(EPSILON))),
        offset,
        frequencies: &frequencies,
        half_split: pairing == Pairing::HalfSplit,
    };
    let (expected_q, rows) = reference::joined_heads(&x, &positions, shape, &rule);
    let row_width = key_heads(shape).row();
    let mut expected = vec![0.5; count * row_width];
    for (row, &place) in filled(&rows, shape).chunks(row_width).zip(&places) {
        expected[place as usize * row_width..][..row_width].copy_from_slice(row);
    }

    let vector = |values: &[f32]| Tensor::upload(pass.gpu, &[values.len()], values);
    let [bias, q_gain, k_gain] = [bias, q_gain, k_gain].map(|values| vector(&values));
    let joined = JoinedHeads {
        heads,
        kv_heads,
        bias: all.then_some(&bias),
        norms: all.then_some(HeadNorms {
            q_gain: &q_gain,
            k_gain: &k_gain,
            epsilon: EPSILON,
        }),
        rotary: RopeColumns { offset, pairing },
    };
    let x = Tensor::upload(pass.gpu, &[tokens, width], &x);
    let slots = Tensor::upload(pass.gpu, &[tokens], &places);
    let before = vec![0.5f32; count * row_width];
    let cache = Cache::plain(Tensor::upload(pass.gpu, &[count, row_width], &before));
    let q = ops::store_heads(pass, &x, &joined, &rotations, &slots, &cache);
    Trial {
        bytes: 2 * x.bytes() + rotations.bytes(),
        operations: (4 * tokens * width) as u64,
        results: vec![
            (q, Expected::Floats(filled(&expected_q, shape))),
            (cache.rows, Expected::Floats(expected)),
        ],
        ..Trial::of(&[], x, Vec::new())
    }
}

/// The whole context of a token in one workgroup.
pub(super) fn grouped_attention(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F32, 1)
}

/// A context shared by several workgroups, and their parts merged.
pub(super) fn grouped_attention_in_splits(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F32, sizes.splits)
}

/// The same over a cache of half precision.
pub(super) fn grouped_attention_over_f16(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::F16, sizes.splits)
}

/// The same over a cache of bytes.
pub(super) fn grouped_attention_over_q8_0(pass: &mut Pass, sizes: &Sizes) -> Trial {
    attend(pass, sizes, &cache::Q8_0, sizes.splits)
}

fn attend(pass: &mut Pass, sizes: &Sizes, kind: &'static CacheType, count: usize) -> Trial {
    let shape = shape(sizes);
    let key_heads = key_heads(shape);
    let (width, row) = (key_heads.width(), key_heads.row());
    let context = Context::new(pass.gpu, sizes, kind, [width, row]);
    let splits = Splits {
        count,
        keys: split_keys(sizes),
    };
    let (q, keys) = (&context.q, context.keys());
    let [tokens, heads, _] = q.dims();
    let tickets = Tensor::new(pass.gpu, &[tokens * heads]);
    let scale = context.scale;
    let y = ops::grouped_attention(pass, q, &keys, key_heads, splits, &tickets, scale);
    let filled = GroupedShape {
        head_dim: width,
        ..shape
    };
    let expected = context.expect(|q, cache, visible, scale| {
        reference::grouped_attention(q, cache, visible, filled, scale)
    });
    // What fills a head up is no part of the result.
    let cut = |head: &[f32]| head[..shape.head_dim].to_vec();
    let expected = expected.chunks(width).flat_map(cut).collect();
    let bytes = q.bytes() + y.bytes() + (context.count * kind.row_bytes(row)) as u64;
    let operations = (4 * context.count * shape.heads * shape.head_dim) as u64;
    Trial {
        format: packed(kind),
        tolerance: EXPONENTIAL,
        bytes,
        operations,
        ..Trial::of(&[], y, expected)
    }
}

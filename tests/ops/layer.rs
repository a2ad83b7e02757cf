//! A layer of grouped-query attention, in chunks and token by token.

use tiefsee::formats;
use tiefsee::gpu::{Cache, CacheType, Gpu, Tensor, cache};
use tiefsee::layers::{
    Batch, GroupedQueryAttention, LayerCache, Linear, RmsNorm, Rotary, Scaling, Span,
};
use tiefsee::ops::{Input, Pairing};

use crate::common::{assert_near, layouts, noise, run_f32, upload};
use crate::reference::{self, GroupedShape, HeadRule};
use crate::{EXPONENTIAL, ROUNDING};

const SHAPE: GroupedShape = GroupedShape {
    heads: 6,
    kv_heads: 2,
    head_dim: 16,
};
const HIDDEN: usize = 40;
const TOKENS: usize = 37;
const BLOCK: usize = 16;
/// Which of a sequence's blocks lies where.
const BLOCKS: [u32; 3] = [2, 0, 1];
const THETA: f64 = 10_000.0;
const EPSILON: f32 = 1e-6;

fn row() -> usize {
    SHAPE.heads * SHAPE.head_dim + SHAPE.row()
}

/// Weights of the joined projection, of its bias, of the norms, and of the way back.
fn weights() -> [Vec<f32>; 5] {
    let sizes = [row() * HIDDEN, row(), 16, 16, HIDDEN * 96];
    let mut seed = 90;
    sizes.map(|count| {
        seed += 1;
        noise(count, seed)
    })
}

fn layer(gpu: &Gpu, normed: bool) -> GroupedQueryAttention {
    let [qkv, bias, q_gain, k_gain, o] = weights();
    let linear = |rows, columns, values: &[f32]| Linear {
        weight: upload(gpu, &formats::F32, [1, rows, columns], values),
    };
    let norm = |gain: &[f32]| RmsNorm {
        gain: Tensor::upload(gpu, &[16], gain),
        epsilon: EPSILON,
    };
    GroupedQueryAttention {
        qkv_proj: linear(row(), HIDDEN, &qkv),
        qkv_bias: (!normed).then(|| Tensor::upload(gpu, &[row()], &bias)),
        q_norm: normed.then(|| norm(&q_gain)),
        k_norm: normed.then(|| norm(&k_gain)),
        o_proj: linear(HIDDEN, 96, &o),
        heads: SHAPE.heads,
        kv_heads: SHAPE.kv_heads,
        head_dim: SHAPE.head_dim,
        pairing: Pairing::HalfSplit,
        softmax_scale: 0.25,
    }
}

fn expected(x: &[f32], normed: bool, kind: &CacheType) -> Vec<f32> {
    let [qkv, bias, q_gain, k_gain, o] = weights();
    let joined = reference::matmul(x, &qkv, HIDDEN);
    let rule = HeadRule {
        bias: (!normed).then_some(&*bias),
        norms: normed.then_some((&*q_gain, &*k_gain, f64::from(EPSILON))),
        offset: 0,
        frequencies: &reference::rope_frequencies(16, THETA, None),
        half_split: true,
    };
    let positions: Vec<u32> = (0..TOKENS as u32).collect();
    let (q, rows) = reference::joined_heads(&joined, &positions, SHAPE, &rule);
    let stored = |row| reference::stored_row(kind.name, row).values;
    let rows: Vec<f32> = rows.chunks(SHAPE.row()).flat_map(stored).collect();
    let visible: Vec<Vec<usize>> = (1..=TOKENS).map(|keys| (0..keys).collect()).collect();
    let values = reference::grouped_attention(&q, &rows, &visible, SHAPE, 0.25);
    reference::matmul(&values, &o, 96)
}

#[test]
fn grouped_query_attention() {
    let x = noise(TOKENS * HIDDEN, 99);
    for gpu in layouts() {
        for (normed, kind) in [
            (false, &cache::F32),
            (true, &cache::F32),
            (false, &cache::F16),
        ] {
            let expected = expected(&x, normed, kind);
            let layer = layer(&gpu, normed);
            for chunk in [TOKENS, 1, 5] {
                let actual = in_chunks(&gpu, &layer, kind, &x, chunk);
                // What rounds otherwise in f32 may be stored as the next f16.
                let tolerance = if kind.name == "f16" {
                    1e-3
                } else {
                    EXPONENTIAL.max(ROUNDING)
                };
                let what = format!("chunks of {chunk}, {normed}, {}", kind.name);
                assert_near(&actual, &expected, tolerance, &what);
            }
        }
    }
}

fn in_chunks(
    gpu: &Gpu,
    layer: &GroupedQueryAttention,
    kind: &'static CacheType,
    x: &[f32],
    chunk: usize,
) -> Vec<f32> {
    let rotary = Rotary::new(16, THETA, &Scaling::None, 1.0);
    let rows = Cache::reserve(gpu, kind, 3 * BLOCK, SHAPE.row());
    let cache = LayerCache {
        rows: pollster::block_on(rows).expect("room"),
        index: None,
    };
    let step = |(number, x): (usize, &[f32])| {
        let tokens = x.len() / HIDDEN;
        let spans = [Span {
            tokens: vec![0; tokens],
            start: number * chunk,
            blocks: BLOCKS.to_vec(),
            outputs: tokens,
        }];
        let batch = Batch::new(gpu, Batch::shape_of(&spans, 3, BLOCK), 8);
        batch.write(gpu, &spans, &rotary);
        run_f32(gpu, |pass| {
            let x = Tensor::upload(gpu, &[tokens, HIDDEN], x);
            let sum = Tensor::new(gpu, &[tokens, HIDDEN]);
            layer.forward(pass, &Input::from(&x), &batch, &cache, &sum);
            sum
        })
    };
    x.chunks(chunk * HIDDEN)
        .enumerate()
        .flat_map(step)
        .collect()
}

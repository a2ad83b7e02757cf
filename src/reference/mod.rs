//! Every op again, in plain Rust: slow, obvious, row-major, accumulating in f64.
//!
//! For the self-test and the tests; never used by a model, never touches a GPU, and shares
//! no code with the rest of the library, so that it can be wrong only by itself. Works on
//! f32, as the kernels do, and on f64. Wrong lengths panic.

mod attention;
mod cache;
mod drawing;
mod grouped;
mod indexer;
mod rope;
mod routing;

pub use attention::{
    HeadShape, LatentShape, latent_attention, merged, naive_attention, softmax_stats,
};
pub use cache::{StoredRow, stored_row};
pub use drawing::Drawing;
pub use grouped::{GroupedShape, HeadRule, grouped_attention, joined_heads};
pub use indexer::{index_scores, layer_norm, select_keys};
pub use rope::{Yarn, rope_frequencies, rope_halves, rope_interleaved, yarn_magnitude};
pub use routing::{GroupScore, Route, Routing, Scoring, route};

/// The numbers that an op reads and writes; between them everything is f64.
pub trait Real: Copy {
    /// The value, exactly.
    fn wide(self) -> f64;
    /// The nearest value of this type.
    fn narrow(value: f64) -> Self;
}

impl Real for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn narrow(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> Self {
        value
    }
}

/// `places`, those with the largest scores first, the lower one first among equals.
fn best_first(mut places: Vec<usize>, score: &dyn Fn(usize) -> f64) -> Vec<usize> {
    places.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    places
}

/// The weights of one `SwiGLU` block, under the checkpoint's names.
#[derive(Clone, Copy)]
pub struct Mlp<'a, R> {
    /// `[intermediate, hidden]`
    pub gate_proj: &'a [R],
    /// `[intermediate, hidden]`
    pub up_proj: &'a [R],
    /// `[hidden, intermediate]`
    pub down_proj: &'a [R],
}

/// Rows of a table, by id: `table: [vocabulary, width]` → `[ids, width]`.
pub fn embedding<R: Real>(table: &[R], width: usize, ids: &[u32]) -> Vec<R> {
    let row = |&id: &u32| &table[id as usize * width..][..width];
    ids.iter().flat_map(row).copied().collect()
}

/// Each row divided by its root mean square, times `gain`: `x: [tokens, gain]` → the same shape.
pub fn rms_norm<R: Real>(x: &[R], gain: &[R], epsilon: f64) -> Vec<R> {
    assert_eq!(x.len() % gain.len(), 0);
    let normalise = |row: &[R]| {
        let mean_square = dot(row, row) / row.len() as f64;
        let scale = 1.0 / (mean_square + epsilon).sqrt();
        let scaled = row
            .iter()
            .zip(gain)
            .map(move |(v, g)| R::narrow(v.wide() * scale * g.wide()));
        scaled.collect::<Vec<_>>()
    };
    x.chunks(gain.len()).flat_map(normalise).collect()
}

/// The sum, value by value.
pub fn add<R: Real>(a: &[R], b: &[R]) -> Vec<R> {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| R::narrow(a.wide() + b.wide()))
        .collect()
}

/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`.
pub fn matmul<R: Real>(x: &[R], weight: &[R], inner: usize) -> Vec<R> {
    assert_eq!((x.len() % inner, weight.len() % inner), (0, 0));
    let products = |row: &[R]| {
        weight
            .chunks(inner)
            .map(|w| R::narrow(dot(row, w)))
            .collect::<Vec<_>>()
    };
    x.chunks(inner).flat_map(products).collect()
}

/// A matrix per head: `x: [tokens, heads, inner]`, `weight: [heads, outer, inner]` → `[tokens, heads, outer]`.
pub fn matmul_heads<R: Real>(x: &[R], weight: &[R], heads: usize, inner: usize) -> Vec<R> {
    assert_eq!(
        (x.len() % (heads * inner), weight.len() % (heads * inner)),
        (0, 0)
    );
    let matrix = weight.len() / heads;
    let head_of_token =
        |(index, row)| matmul(row, &weight[index % heads * matrix..][..matrix], inner);
    x.chunks(inner)
        .enumerate()
        .flat_map(head_of_token)
        .collect()
}

/// `gate / (1 + exp(-gate)) * up`, value by value.
pub fn swiglu<R: Real>(gate: &[R], up: &[R]) -> Vec<R> {
    assert_eq!(gate.len(), up.len());
    let activate = |(gate, up): (&R, &R)| R::narrow(gate.wide() * sigmoid(gate.wide()) * up.wide());
    gate.iter().zip(up).map(activate).collect()
}

/// A `SwiGLU` block: `x: [tokens, hidden]` → `[tokens, hidden]`.
pub fn mlp<R: Real>(x: &[R], hidden: usize, weights: &Mlp<R>) -> Vec<R> {
    let intermediate = weights.down_proj.len() / hidden;
    let gate = matmul(x, weights.gate_proj, hidden);
    let up = matmul(x, weights.up_proj, hidden);
    matmul(&swiglu(&gate, &up), weights.down_proj, intermediate)
}

/// The weighted sum of each token's experts, without shared ones: `x: [tokens, hidden]` → `[tokens, hidden]`.
pub fn moe<R: Real>(x: &[R], hidden: usize, experts: &[Mlp<R>], routes: &[Route<R>]) -> Vec<R> {
    assert_eq!(x.len(), routes.len() * hidden);
    let mix = |(row, route): (&[R], &Route<R>)| {
        let mut sum = vec![0.0; hidden];
        for &(expert, weight) in &route.experts {
            for (sum, value) in sum.iter_mut().zip(mlp(row, hidden, &experts[expert])) {
                *sum += weight.wide() * value.wide();
            }
        }
        sum.into_iter().map(R::narrow).collect::<Vec<_>>()
    };
    x.chunks(hidden).zip(routes).flat_map(mix).collect()
}

/// The weighted sum over the slots: `x: [tokens, slots, width]`, `weights: [tokens, slots]` → `[tokens, width]`.
pub fn combine<R: Real>(x: &[R], weights: &[R], slots: usize, width: usize) -> Vec<R> {
    assert_eq!(x.len(), weights.len() * width);
    let mix = |(rows, weights): (&[R], &[R])| {
        let column = |column: usize| {
            let rows = rows.chunks(width).zip(weights);
            R::narrow(
                rows.map(|(row, weight)| row[column].wide() * weight.wide())
                    .sum(),
            )
        };
        (0..width).map(column).collect::<Vec<_>>()
    };
    x.chunks(slots * width)
        .zip(weights.chunks(slots))
        .flat_map(mix)
        .collect()
}

/// Softmax over each row of `width` values.
pub fn softmax<R: Real>(x: &[R], width: usize) -> Vec<R> {
    let row = |row: &[R]| {
        let row: Vec<f64> = row.iter().map(|v| v.wide()).collect();
        shares(&row).into_iter().map(R::narrow).collect::<Vec<_>>()
    };
    x.chunks(width).flat_map(row).collect()
}

/// Where the largest value is; the first of equals.
pub fn argmax<R: Real>(row: &[R]) -> usize {
    let larger = |best: usize, index: usize| {
        if row[index].wide() > row[best].wide() {
            index
        } else {
            best
        }
    };
    (1..row.len()).fold(0, larger)
}

fn dot<R: Real>(a: &[R], b: &[R]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Softmax of one row.
fn shares(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

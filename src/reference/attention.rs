//! Attention over the compressed cache, and the same over keys and values that were expanded.

use super::{Real, dot, shares};

/// The sizes of attention over the compressed cache.
#[derive(Clone, Copy, Debug)]
pub struct LatentShape {
    /// Query heads; all of them share one key and one value.
    pub heads: usize,
    /// The first columns of a cache row, which are also its value.
    pub latent: usize,
    /// The columns after them: the rotated key.
    pub rope: usize,
}

/// The sizes of ordinary attention with as many key heads as query heads.
#[derive(Clone, Copy, Debug)]
pub struct HeadShape {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Columns of a query and of a key.
    pub key: usize,
    /// Columns of a value.
    pub value: usize,
}

/// Absorbed attention; a token that sees no row gets zeros.
///
/// `q: [tokens, heads, latent + rope]`, `cache: [rows, latent + rope]`, `visible`: the cache rows of
/// each token → `[tokens, heads, latent]`.
pub fn latent_attention<R: Real>(
    q: &[R],
    cache: &[R],
    visible: &[Vec<usize>],
    shape: LatentShape,
    scale: f64,
) -> Vec<R> {
    let width = shape.latent + shape.rope;
    assert_eq!(
        (q.len(), cache.len() % width),
        (visible.len() * shape.heads * width, 0)
    );
    let attend = |(index, query): (usize, &[R])| {
        let rows = visible[index / shape.heads]
            .iter()
            .map(|&row| &cache[row * width..][..width]);
        let pairs: Vec<_> = rows.map(|row| (row, &row[..shape.latent])).collect();
        weighted_values(query, &pairs, shape.latent, scale)
    };
    q.chunks(width).enumerate().flat_map(attend).collect()
}

/// What [`latent_attention`] divides by: each head's largest score, and the sum of the exponentials of how far
/// below it all are; `[tokens, heads, 2]`.
pub fn softmax_stats<R: Real>(
    q: &[R],
    cache: &[R],
    visible: &[Vec<usize>],
    shape: LatentShape,
    scale: f64,
) -> Vec<R> {
    let width = shape.latent + shape.rope;
    let stats = |(index, query): (usize, &[R])| {
        let score = |&row: &usize| dot(query, &cache[row * width..][..width]) * scale;
        let scores: Vec<f64> = visible[index / shape.heads].iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        [largest, total].map(R::narrow)
    };
    q.chunks(width).enumerate().flat_map(stats).collect()
}

/// The parts of a context put together: `z: [parts, width]`, `stats: [parts, 2]` of [`softmax_stats`] → `[width]`.
pub fn merged<R: Real>(z: &[&[R]], stats: &[[R; 2]]) -> Vec<R> {
    let largest = stats
        .iter()
        .map(|stat| stat[0].wide())
        .fold(f64::NEG_INFINITY, f64::max);
    let share = |stat: &[R; 2]| stat[1].wide() * (stat[0].wide() - largest).exp();
    let shares: Vec<f64> = stats.iter().map(share).collect();
    let total: f64 = shares.iter().sum();
    let column = |column: usize| {
        let parts = z.iter().zip(&shares);
        let sum: f64 = parts.map(|(part, share)| share * part[column].wide()).sum();
        R::narrow(sum / total)
    };
    (0..z[0].len()).map(column).collect()
}

/// Attention with a key and a value per head; a token that sees no row gets zeros.
///
/// `q: [tokens, heads, key]`, `keys: [rows, heads, key]`, `values: [rows, heads, value]`, `visible`: the
/// rows of each token → `[tokens, heads, value]`.
pub fn naive_attention<R: Real>(
    q: &[R],
    keys: &[R],
    values: &[R],
    visible: &[Vec<usize>],
    shape: HeadShape,
    scale: f64,
) -> Vec<R> {
    let HeadShape { heads, key, value } = shape;
    assert_eq!(q.len(), visible.len() * heads * key);
    assert_eq!(keys.len() / (heads * key), values.len() / (heads * value));
    let attend = |(index, query): (usize, &[R])| {
        let (token, head) = (index / heads, index % heads);
        let pair = |&row: &usize| {
            let cell = row * heads + head;
            (&keys[cell * key..][..key], &values[cell * value..][..value])
        };
        let pairs: Vec<_> = visible[token].iter().map(pair).collect();
        weighted_values(query, &pairs, value, scale)
    };
    q.chunks(key).enumerate().flat_map(attend).collect()
}

/// One query against pairs of a key and a value.
pub(super) fn weighted_values<R: Real>(
    query: &[R],
    pairs: &[(&[R], &[R])],
    width: usize,
    scale: f64,
) -> Vec<R> {
    let scores: Vec<f64> = pairs
        .iter()
        .map(|(key, _)| dot(query, key) * scale)
        .collect();
    let mut sum = vec![0.0; width];
    for (share, (_, value)) in shares(&scores).into_iter().zip(pairs) {
        for (sum, value) in sum.iter_mut().zip(*value) {
            *sum += share * value.wide();
        }
    }
    sum.into_iter().map(R::narrow).collect()
}

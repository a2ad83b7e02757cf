//! What DeepSeek-V3.2's sparse attention chooses keys with.

use super::{Real, best_first, dot};

/// Each row less its mean, over its standard deviation, times `gain`, plus `bias`: `x: [tokens, gain]` → the same shape.
pub fn layer_norm<R: Real>(x: &[R], gain: &[R], bias: &[R], epsilon: f64) -> Vec<R> {
    assert_eq!((x.len() % gain.len(), bias.len()), (0, gain.len()));
    let normalise = |row: &[R]| {
        let count = row.len() as f64;
        let mean = row.iter().map(|value| value.wide()).sum::<f64>() / count;
        let centred: Vec<f64> = row.iter().map(|value| value.wide() - mean).collect();
        let variance = centred.iter().map(|value| value * value).sum::<f64>() / count;
        let scale = 1.0 / (variance + epsilon).sqrt();
        let columns = centred.into_iter().zip(gain).zip(bias);
        columns
            .map(|((value, gain), bias)| R::narrow(value * scale * gain.wide() + bias.wide()))
            .collect::<Vec<_>>()
    };
    x.chunks(gain.len()).flat_map(normalise).collect()
}

/// How much each token wants the rows that it sees, in their order.
///
/// `q: [tokens, heads, width]`, `weights: [tokens, heads]`, `cache: [rows, width]`, `visible`: the cache
/// rows of each token.
pub fn index_scores<R: Real>(
    q: &[R],
    weights: &[R],
    cache: &[R],
    visible: &[Vec<usize>],
    scale: f64,
) -> Vec<Vec<R>> {
    let heads = weights.len() / visible.len();
    let width = q.len() / weights.len();
    assert_eq!(
        (q.len(), cache.len() % width),
        (visible.len() * heads * width, 0)
    );
    let token = |(token, rows): (usize, &Vec<usize>)| {
        let queries = &q[token * heads * width..][..heads * width];
        let weights = &weights[token * heads..][..heads];
        let score = |&row: &usize| {
            let key = &cache[row * width..][..width];
            let heads = queries.chunks(width).zip(weights);
            let sum: f64 = heads
                .map(|(query, weight)| weight.wide() * dot(query, key).max(0.0))
                .sum();
            R::narrow(scale * sum)
        };
        rows.iter().map(score).collect()
    };
    visible.iter().enumerate().map(token).collect()
}

/// The places of the `most` largest scores, ascending; the first of equals.
pub fn select_keys<R: Real>(scores: &[R], most: usize) -> Vec<usize> {
    // Zero added makes the two zeros equal.
    let score = |place: usize| scores[place].wide() + 0.0;
    let mut places = best_first((0..scores.len()).collect(), &score);
    places.truncate(most);
    places.sort_unstable();
    places
}

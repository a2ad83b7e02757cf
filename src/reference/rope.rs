//! Rotary embedding in both pairings, with `YaRN`'s frequencies.

use std::f64::consts::PI;

use super::Real;

/// How `YaRN` stretches a model to contexts longer than it was trained on.
#[derive(Clone, Copy, Debug)]
pub struct Yarn {
    /// How many times longer the context becomes.
    pub factor: f64,
    /// Pairs that turn more often than this within the original context keep their frequency.
    pub beta_fast: f64,
    /// Pairs that turn less often than this have it divided by `factor`.
    pub beta_slow: f64,
    /// The context length before stretching, in tokens.
    pub original_max_position_embeddings: f64,
}

impl Yarn {
    /// The first pair that is changed and the first that is changed fully, for `dim` rotated values.
    pub fn range(&self, dim: usize, theta: f64) -> (f64, f64) {
        let pair_turning = |turns: f64| {
            let wavelengths = self.original_max_position_embeddings / (2.0 * PI * turns);
            dim as f64 * wavelengths.ln() / (2.0 * theta.ln())
        };
        let low = pair_turning(self.beta_fast).floor().max(0.0);
        let high = pair_turning(self.beta_slow).ceil().min(dim as f64 - 1.0);
        (low, high)
    }
}

/// The factor `0.1 m ln(s) + 1`, whose square `YaRN` models apply to the attention scale.
pub fn yarn_magnitude(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * mscale * factor.ln() + 1.0
    }
}

/// Radians per position of each of the `dim / 2` pairs.
pub fn rope_frequencies(dim: usize, theta: f64, yarn: Option<Yarn>) -> Vec<f64> {
    let plain = |pair: usize| theta.powf(-2.0 * pair as f64 / dim as f64);
    let Some(yarn) = yarn else {
        return (0..dim / 2).map(plain).collect();
    };
    let (low, high) = yarn.range(dim, theta);
    // The published code avoids the division by zero in this way.
    let width = if low < high { high - low } else { 0.001 };
    let stretched = |pair: usize| {
        let ramp = ((pair as f64 - low) / width).clamp(0.0, 1.0);
        plain(pair) / yarn.factor * ramp + plain(pair) * (1.0 - ramp)
    };
    (0..dim / 2).map(stretched).collect()
}

/// Rotates the pairs `(2i, 2i + 1)`: `x: [tokens, heads, 2 * frequencies]` → the same shape.
pub fn rope_interleaved<R: Real>(x: &[R], positions: &[u32], frequencies: &[f64]) -> Vec<R> {
    rotate(x, positions, frequencies, |pair| (2 * pair, 2 * pair + 1))
}

/// Rotates the pairs `(i, i + width / 2)`: `x: [tokens, heads, 2 * frequencies]` → the same shape.
pub fn rope_halves<R: Real>(x: &[R], positions: &[u32], frequencies: &[f64]) -> Vec<R> {
    rotate(x, positions, frequencies, |pair| {
        (pair, pair + frequencies.len())
    })
}

fn rotate<R: Real>(
    x: &[R],
    positions: &[u32],
    frequencies: &[f64],
    pair_at: impl Fn(usize) -> (usize, usize),
) -> Vec<R> {
    let width = 2 * frequencies.len();
    assert_eq!(x.len() % (positions.len() * width), 0);
    let heads = x.len() / positions.len() / width;
    let mut rotated = x.to_vec();
    for (index, row) in rotated.chunks_mut(width).enumerate() {
        let position = f64::from(positions[index / heads]);
        for (pair, frequency) in frequencies.iter().enumerate() {
            let (sine, cosine) = (position * frequency).sin_cos();
            let (first, second) = pair_at(pair);
            let (u, v) = (row[first].wide(), row[second].wide());
            row[first] = R::narrow(u * cosine - v * sine);
            row[second] = R::narrow(v * cosine + u * sine);
        }
    }
    rotated
}

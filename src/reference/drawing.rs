//! Tokens by chance.

use super::{Real, best_first};

/// What a token is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    /// What scores are divided by, not 0.
    pub temperature: f64,
    /// Only the best `top_k` tokens; 0 for all.
    pub top_k: usize,
    /// Only the best tokens that together have this probability, of those that `top_k` leaves; 1 for all.
    pub top_p: f64,
    /// Only tokens with at least this share of the best one's probability; 0 for all.
    pub min_p: f64,
}

impl Drawing {
    /// The tokens that may be drawn, best first, the lower one first among equals, and their weights.
    pub fn kept<R: Real>(&self, scores: &[R]) -> Vec<(usize, f64)> {
        let score = |token: usize| scores[token].wide();
        let mut tokens = best_first((0..scores.len()).collect(), &score);
        if self.top_k > 0 {
            tokens.truncate(self.top_k);
        }
        let best = score(tokens[0]);
        let weight = |token| ((score(token) - best) / self.temperature).exp();
        let mut kept: Vec<_> = tokens.iter().map(|&token| (token, weight(token))).collect();
        if self.top_p < 1.0 {
            let enough = self.top_p * kept.iter().map(|(_, weight)| weight).sum::<f64>();
            let mut before = 0.0;
            let reached = kept.iter().take_while(|(_, weight)| {
                let goes_on = before < enough;
                before += weight;
                goes_on
            });
            kept.truncate(reached.count().max(1));
        }
        kept.retain(|&(_, weight)| weight >= self.min_p);
        kept
    }

    /// The token that is drawn: of those kept, that with the largest share of its weight by its random number.
    pub fn draw<R: Real>(&self, scores: &[R], seed: u64, position: u32) -> usize {
        let mark =
            |(token, weight): (usize, f64)| weight / exponential(seed, position, token as u32);
        let kept = self.kept(scores);
        let winner = kept.into_iter().max_by(|&a, &b| {
            let marks = mark(a).total_cmp(&mark(b));
            marks.then(b.0.cmp(&a.0))
        });
        winner.expect("the best token is kept").0
    }
}

/// A random number of the exponential distribution.
fn exponential(seed: u64, position: u32, token: u32) -> f64 {
    let words = random_words([seed as u32, (seed >> 32) as u32, position, token / 4]);
    let uniform = (f64::from(words[token as usize % 4]) + 0.5) / 2_f64.powi(32);
    -(-uniform).ln_1p()
}

/// Four random words: pcg4d of Jarzynski and Olano, "Hash functions for GPU rendering", 2020.
fn random_words(counter: [u32; 4]) -> [u32; 4] {
    let step = |value: u32| value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    let mut words = counter.map(step);
    for round in 0..2 {
        for (changed, a, b) in [(0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)] {
            words[changed] = words[changed].wrapping_add(words[a].wrapping_mul(words[b]));
        }
        if round == 0 {
            words = words.map(|word| word ^ (word >> 16));
        }
    }
    words
}

//! Scores to a token, on the host: the same tokens for the same seed on every platform.

use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::error::{Error, Result};

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Spread of the choice; 0 always takes the best token.
    pub temperature: f32,
    /// Only the best `top_k` tokens; 0 for all.
    pub top_k: usize,
    /// Only the best tokens that together have this probability; 1 for all.
    pub top_p: f32,
    /// Only tokens with at least this share of the best one's probability; 0 for all.
    pub min_p: f32,
    /// What scores of tokens that were there before are divided by; 1 for no change.
    pub repetition_penalty: f32,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Sampling {
    /// Always the best token.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        seed: 0,
    };
}

/// The choices of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: Pcg32,
}

impl Sampler {
    /// A sampler after `drawn` tokens of its seed.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range.
    pub fn new(sampling: Sampling, drawn: usize) -> Result<Self> {
        let Sampling {
            temperature,
            top_p,
            min_p,
            repetition_penalty,
            seed,
            ..
        } = sampling;
        let ranges = [
            (
                "temperature",
                temperature,
                (0.0..=100.0).contains(&temperature),
                "between 0 and 100",
            ),
            (
                "top_p",
                top_p,
                top_p > 0.0 && top_p <= 1.0,
                "above 0 and at most 1",
            ),
            (
                "min_p",
                min_p,
                (0.0..=1.0).contains(&min_p),
                "between 0 and 1",
            ),
            (
                "repetition penalty",
                repetition_penalty,
                repetition_penalty > 0.0 && repetition_penalty <= 100.0,
                "above 0 and at most 100",
            ),
        ];
        for (name, value, valid, range) in ranges {
            if !valid {
                return Err(Error::Usage(format!(
                    "{name} is {value}; it must be {range}"
                )));
            }
        }
        let mut random = Pcg32::new(seed, 0);
        // A token takes two numbers.
        random.advance(2 * drawn as u64);
        Ok(Self { sampling, random })
    }

    /// Whether the best token is taken whatever came before, so that the GPU can choose it.
    #[expect(clippy::float_cmp, reason = "exactly 1 means no penalty")]
    pub fn is_greedy(&self) -> bool {
        self.sampling.temperature == 0.0 && self.sampling.repetition_penalty == 1.0
    }

    /// The next token after `history`; `None` if a score is not finite.
    pub fn sample(&mut self, scores: &[f32], history: &[u32]) -> Option<u32> {
        if !scores.iter().all(|score| score.is_finite()) {
            return None;
        }
        let mut scores = scores.to_vec();
        self.penalise(&mut scores, history);
        // Best first, the lower token first among equals.
        let best_first = |&a: &u32, &b: &u32| {
            scores[b as usize]
                .total_cmp(&scores[a as usize])
                .then(a.cmp(&b))
        };
        let mut tokens: Vec<u32> = (0..scores.len() as u32).collect();
        if self.sampling.temperature == 0.0 {
            return tokens.into_iter().min_by(|a, b| best_first(a, b));
        }
        let kept = if self.sampling.top_k == 0 {
            tokens.len()
        } else {
            self.sampling.top_k.min(tokens.len())
        };
        if kept < tokens.len() {
            tokens.select_nth_unstable_by(kept, best_first);
            tokens.truncate(kept);
        }
        tokens.sort_unstable_by(best_first);
        let weights = self.weights(&tokens, &scores);
        Some(tokens[self.draw(&weights)])
    }

    /// Divides positive scores of seen tokens and multiplies negative ones (CTRL, arXiv 1909.05858).
    fn penalise(&self, scores: &mut [f32], history: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        let mut seen = history.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            let score = &mut scores[token as usize];
            *score = if *score > 0.0 {
                *score / penalty
            } else {
                *score * penalty
            };
        }
    }

    /// The unnormalised probabilities of the best tokens that `top_p` and `min_p` leave.
    fn weights(&self, tokens: &[u32], scores: &[f32]) -> Vec<f64> {
        let Sampling {
            temperature,
            top_p,
            min_p,
            ..
        } = self.sampling;
        let score = |&token: &u32| f64::from(scores[token as usize]) / f64::from(temperature);
        let best = score(&tokens[0]);
        // libm, not the platform's exponential: it gives the same bits everywhere.
        let mut weights: Vec<_> = tokens
            .iter()
            .map(|token| libm::exp(score(token) - best))
            .collect();
        let enough = f64::from(top_p) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        // The token that reaches `top_p` belongs to those kept.
        let kept = weights.iter().take_while(|&&weight| {
            let before = sum;
            sum += weight;
            before < enough && weight >= f64::from(min_p)
        });
        let kept = kept.count().max(1);
        weights.truncate(kept);
        weights
    }

    fn draw(&mut self, weights: &[f64]) -> usize {
        let bits =
            u64::from(self.random.next_u32()) << 21 ^ u64::from(self.random.next_u32()) >> 11;
        let uniform = bits as f64 / (1_u64 << 53) as f64;
        let mut left = uniform * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }
}

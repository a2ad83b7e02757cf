//! Scores to a token: how the device draws it, or on the host where scores are changed first.

use rand_core::Rng;
use rand_pcg::Pcg32;

use super::logprobs::{best_first, keep_best};
use crate::error::{Error, Result};
use crate::ops::Draw;

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
    /// What is taken from a token's score for each time that it stands in the answer; 0 for no change.
    pub frequency_penalty: f32,
    /// What is taken from a token's score if it stands in the answer; 0 for no change.
    pub presence_penalty: f32,
    /// Tokens with what is added to their scores.
    pub logit_bias: Vec<(u32, f32)>,
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
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
        logit_bias: Vec::new(),
        seed: 0,
    };

    /// Each setting by its name, whether it is in its range, and the range.
    fn ranges(&self) -> impl Iterator<Item = (&'static str, f32, bool, &'static str)> {
        let penalty = |name, value: f32| {
            let is_valid = (-2.0..=2.0).contains(&value);
            (name, value, is_valid, "between -2 and 2")
        };
        let (temperature, top_p, min_p) = (self.temperature, self.top_p, self.min_p);
        let repetition = self.repetition_penalty;
        let bias = |&(_, bias): &(u32, f32)| {
            let is_valid = (-100.0..=100.0).contains(&bias);
            ("logit_bias", bias, is_valid, "between -100 and 100")
        };
        [
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
                repetition,
                repetition > 0.0 && repetition <= 100.0,
                "above 0 and at most 100",
            ),
            penalty("frequency_penalty", self.frequency_penalty),
            penalty("presence_penalty", self.presence_penalty),
        ]
        .into_iter()
        .chain(self.logit_bias.iter().map(bias))
    }
}

/// The choices of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
}

impl Sampler {
    /// A sampler that chooses by `sampling`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range.
    pub fn new(sampling: Sampling) -> Result<Self> {
        for (name, value, is_valid, range) in sampling.ranges() {
            if !is_valid {
                return Err(Error::Usage(format!(
                    "{name} is {value}; it must be {range}"
                )));
            }
        }
        Ok(Self { sampling })
    }

    /// Whether the best token is taken whatever came before.
    pub fn is_greedy(&self) -> bool {
        self.sampling.temperature == 0.0 && !self.needs_scores()
    }

    /// Whether scores are changed before the choice: then [`Sampler::sample`] makes it.
    pub fn needs_scores(&self) -> bool {
        let Sampling {
            frequency_penalty,
            presence_penalty,
            ref logit_bias,
            ..
        } = self.sampling;
        self.minds_repetition()
            || frequency_penalty != 0.0
            || presence_penalty != 0.0
            || !logit_bias.is_empty()
    }

    #[expect(clippy::float_cmp, reason = "exactly 1 means no penalty")]
    fn minds_repetition(&self) -> bool {
        self.sampling.repetition_penalty != 1.0
    }

    /// How the device draws the token at `position` of a sequence, if it does not need the history.
    ///
    /// Nothing depends on what was drawn before, so that answers can be resumed, batched and computed ahead.
    pub fn draw(&self, position: usize) -> Draw {
        let Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            seed,
            ..
        } = self.sampling;
        Draw {
            seed: [seed as u32, (seed >> 32) as u32],
            position: position as u32,
            top_k: u32::try_from(top_k).unwrap_or(u32::MAX),
            temperature,
            top_p,
            min_p,
        }
    }

    /// The next token of an answer, among those that are allowed; `None` if a score is not finite or no
    /// token is allowed.
    ///
    /// Its random numbers depend on its place in the answer alone.
    pub fn sample(
        &self,
        scores: &[f32],
        prompt: &[u32],
        answer: &[u32],
        is_allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        if !scores.iter().all(|score| score.is_finite()) {
            return None;
        }
        let mut scores = scores.to_vec();
        self.adjust(&mut scores, prompt, answer);
        let mut tokens: Vec<u32> = (0..scores.len() as u32)
            .filter(|&token| is_allowed(token))
            .collect();
        if self.sampling.temperature == 0.0 || tokens.is_empty() {
            return tokens.into_iter().min_by(best_first(&scores));
        }
        let kept = match self.sampling.top_k {
            0 => tokens.len(),
            top_k => top_k,
        };
        keep_best(&mut tokens, &scores, kept);
        let weights = self.weights(&tokens, &scores);
        let mut random = Pcg32::new(self.sampling.seed, 0);
        // A token takes two numbers.
        random.advance(2 * answer.len() as u64);
        Some(tokens[drawn(&mut random, &weights)])
    }

    /// Adds biases and takes penalties from the scores of tokens that were there before.
    fn adjust(&self, scores: &mut [f32], prompt: &[u32], answer: &[u32]) {
        let Sampling {
            repetition_penalty,
            frequency_penalty,
            presence_penalty,
            ref logit_bias,
            ..
        } = self.sampling;
        let seen = self.minds_repetition().then(|| prompt.iter().chain(answer));
        // Divides positive scores and multiplies negative ones (CTRL, arXiv 1909.05858).
        for (token, _) in counts(seen.into_iter().flatten()) {
            let score = &mut scores[token as usize];
            *score = if *score > 0.0 {
                *score / repetition_penalty
            } else {
                *score * repetition_penalty
            };
        }
        let counted = (frequency_penalty != 0.0 || presence_penalty != 0.0).then_some(answer);
        for (token, count) in counts(counted.into_iter().flatten()) {
            scores[token as usize] -= count as f32 * frequency_penalty + presence_penalty;
        }
        for &(token, bias) in logit_bias {
            scores[token as usize] += bias;
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
}

/// How often each token occurs, by token.
fn counts<'a>(tokens: impl Iterator<Item = &'a u32>) -> Vec<(u32, usize)> {
    let mut tokens: Vec<u32> = tokens.copied().collect();
    tokens.sort_unstable();
    let same = tokens.chunk_by(|a, b| a == b);
    same.map(|same| (same[0], same.len())).collect()
}

/// One of the weights by chance, each as likely as it is large.
fn drawn(random: &mut Pcg32, weights: &[f64]) -> usize {
    let bits = u64::from(random.next_u32()) << 21 ^ u64::from(random.next_u32()) >> 11;
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

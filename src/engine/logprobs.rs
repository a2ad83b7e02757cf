//! Scores to the best tokens, and to logarithms of probabilities.

use std::cmp::Ordering;

/// How likely a token was, beside the best ones of its place: the model's own distribution, before
/// temperature, penalties, biases and constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The best tokens with theirs, best first, the lower token first among equals.
    pub best: Vec<(u32, f64)>,
}

impl TokenLogprobs {
    /// Those of `token` and of the `best` best ones; `None` if a score is not finite.
    #[track_caller]
    pub fn new(scores: &[f32], token: u32, best: usize) -> Option<Self> {
        if !scores.iter().all(|score| score.is_finite()) {
            return None;
        }
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let above = |score: f32| f64::from(score) - f64::from(highest);
        // libm, not the platform's exponential: it gives the same bits everywhere.
        let sum: f64 = scores.iter().map(|&score| libm::exp(above(score))).sum();
        let logprob = |token: u32| above(scores[token as usize]) - libm::log(sum);
        let mut tokens = (0..scores.len() as u32).collect();
        keep_best(&mut tokens, scores, best);
        Some(Self {
            logprob: logprob(token),
            best: tokens
                .into_iter()
                .map(|token| (token, logprob(token)))
                .collect(),
        })
    }
}

/// Orders tokens by their scores, best first, the lower token first among equals.
pub(super) fn best_first(scores: &[f32]) -> impl Fn(&u32, &u32) -> Ordering + Copy {
    |&a, &b| {
        let order = scores[b as usize].total_cmp(&scores[a as usize]);
        order.then(a.cmp(&b))
    }
}

/// Keeps the `count` tokens of the highest scores, in the order of [`best_first`].
pub(super) fn keep_best(tokens: &mut Vec<u32>, scores: &[f32], count: usize) {
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count, best_first(scores));
        tokens.truncate(count);
    }
    tokens.sort_unstable_by(best_first(scores));
}

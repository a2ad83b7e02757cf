//! What is asked of the engine.

use super::{Constraint, Sampling};
use crate::error::{Error, Result};

/// The most tokens that [`Request::logprobs`] may ask for.
pub const MOST_LOGPROBS: usize = 20;

/// A prompt and how to continue it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt's ids.
    pub tokens: Vec<u32>,
    /// How many ids at the prompt's end belong to the answer already: a request that this one resumes
    /// chose them. Whatever counts an answer's tokens counts them too.
    pub resumed: usize,
    /// The most tokens of the answer; 0 runs the prompt alone.
    pub max_tokens: usize,
    /// Tokens of the answer before which no stop token is chosen.
    pub min_tokens: usize,
    /// Ids that end the answer.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether it is told how likely each token of the answer was, beside so many of the best ones.
    pub logprobs: Option<usize>,
    /// Whether the same is told of the prompt's tokens. All of them run then, whatever the cache has.
    pub prompt_logprobs: bool,
    /// How long the model may think.
    pub thinking: Option<EndOfThinking>,
    /// What the answer may say.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Whether every token's experts are told.
    pub routes: bool,
}

/// After how many tokens of thinking an answer's thinking is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndOfThinking {
    /// The token that begins thinking, in the prompt or in the answer.
    pub open: u32,
    /// The token that ends it.
    pub close: u32,
    /// Tokens of the answer between the two.
    pub budget: usize,
}

impl Default for Request {
    /// No prompt, and the best token each time, as long as the context has room.
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            resumed: 0,
            max_tokens: usize::MAX,
            min_tokens: 0,
            stop_tokens: Vec::new(),
            sampling: Sampling::GREEDY,
            logprobs: None,
            prompt_logprobs: false,
            thinking: None,
            constraint: None,
            routes: false,
        }
    }
}

impl Request {
    /// The same request after `generated` tokens of its answer, for an engine that lost them.
    #[must_use]
    pub fn after(&self, generated: &[u32]) -> Self {
        let mut request = self.clone();
        request.tokens.extend(generated);
        request.resumed += generated.len();
        request
    }

    /// Where the answer begins.
    pub fn start(&self) -> usize {
        self.tokens.len() - self.resumed
    }

    /// Refuses what a model of this `vocabulary` cannot do.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the setting.
    pub(super) fn check(&self, vocabulary: usize) -> Result<()> {
        let biased = self.sampling.logit_bias.iter().map(|(token, _)| *token);
        let thinking = self.thinking.iter().flat_map(|end| [end.open, end.close]);
        let mut tokens = self.tokens.iter().copied().chain(biased).chain(thinking);
        if let Some(token) = tokens.find(|&token| token as usize >= vocabulary) {
            return Err(Error::Usage(format!(
                "token {token} is not below the vocabulary of {vocabulary}"
            )));
        }
        if self.tokens.len() <= self.resumed {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        if let Some(best) = self.logprobs.filter(|&best| best > MOST_LOGPROBS) {
            return Err(Error::Usage(format!(
                "logprobs is {best}; it must be at most {MOST_LOGPROBS}"
            )));
        }
        if self.min_tokens > self.max_tokens {
            let Self {
                min_tokens,
                max_tokens,
                ..
            } = self;
            return Err(Error::Usage(format!(
                "min_tokens is {min_tokens}; it must be at most max_tokens, which is {max_tokens}"
            )));
        }
        Ok(())
    }
}

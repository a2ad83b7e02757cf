//! How an answer is generated.

use super::Grammar;
use crate::engine::Sampling;
use crate::text::ToolFormat;

/// What one answer should be like.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens; up to the end of the context if `None`.
    pub max_tokens: Option<usize>,
    /// Tokens before which the model cannot end the answer.
    pub min_tokens: usize,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Whether it is told how likely each token was, beside so many of the best ones.
    pub logprobs: Option<usize>,
    /// Whether the same is told of the prompt's tokens.
    pub prompt_logprobs: bool,
    /// The most tokens of thinking, if the model can think; as many as it likes if `None`.
    pub thinking_budget: Option<usize>,
    /// What the answer proper has to look like.
    pub grammar: Option<Grammar>,
    /// How the model writes calls of tools, if they are to be told from the answer.
    pub tools: Option<ToolFormat>,
    /// Whether every token's experts are told.
    pub routes: bool,
}

impl GenerateOptions {
    /// Tokens chosen by `sampling`, and nothing else asked for.
    pub fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            max_tokens: None,
            min_tokens: 0,
            stop: Vec::new(),
            logprobs: None,
            prompt_logprobs: false,
            thinking_budget: None,
            grammar: None,
            tools: None,
            routes: false,
        }
    }
}

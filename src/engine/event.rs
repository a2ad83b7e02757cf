//! What a step tells of the sequences that ran in it.

use super::{SequenceId, TokenLogprobs};
use crate::error::Error;

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said a stop token, or its constraint allows no further token.
    Stop,
    /// It reached the request's or the context's length.
    Length,
}

impl FinishReason {
    /// What the servers' protocols call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// What a step brought.
#[derive(Debug)]
pub enum Event {
    /// Tokens of a sequence went through the model; these are their experts.
    Routes(SequenceId, TokenRoutes),
    /// How likely tokens of a sequence's prompt were. All but the first are told, in order, each once.
    Prompt(SequenceId, PromptLogprobs),
    /// A sequence's prompt has been read, so many of its tokens from the cache.
    Began(SequenceId, usize),
    /// A sequence has a new token.
    Token(SequenceId, Chosen),
    /// A sequence is over; a stop token that ended it is not reported.
    Finished(SequenceId, FinishReason),
    /// A sequence failed; the others go on.
    Failed(SequenceId, Error),
}

impl Event {
    /// Whose it is.
    pub fn sequence(&self) -> SequenceId {
        match self {
            Self::Routes(id, _)
            | Self::Began(id, _)
            | Self::Prompt(id, _)
            | Self::Token(id, _)
            | Self::Finished(id, _)
            | Self::Failed(id, _) => *id,
        }
    }
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its id.
    pub token: u32,
    /// How likely it was, if asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// Whether it had been guessed, so that it took no step of its own.
    pub guessed: bool,
}

/// How likely neighbouring tokens of a prompt were.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptLogprobs {
    /// The position of the first token, at least 1: nothing comes before the very first.
    pub position: usize,
    /// Each token's.
    pub tokens: Vec<TokenLogprobs>,
}

/// The experts of neighbouring tokens of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRoutes {
    /// The position of the first token.
    pub position: usize,
    /// How many tokens.
    pub tokens: usize,
    /// `[tokens, slots]` of each layer that has experts: best first, then the shared ones.
    pub layers: Vec<Vec<u32>>,
}

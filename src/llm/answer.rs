//! One answer: tokens of the engine to text, until it ends.

use std::sync::Arc;

use web_time::{Duration, Instant};

use super::{GenerateOptions, Language};
use crate::engine::{
    Chosen, EndOfThinking, FinishReason, PromptLogprobs, Request, TokenLogprobs, TokenRoutes,
};
use crate::error::Result;
use crate::text::{
    END_THINK, Opening, Piece, Prompt, ReasoningSplitter, Specials, StopStrings, THINK, TextStream,
    ToolCall, ToolPiece, ToolSplitter,
};

/// A part of an answer, in the order of generation.
#[derive(Clone, Debug)]
pub enum Update {
    /// What was generated, with the markers between thinking and answer: all of it comes once
    /// more, told apart, as the next two.
    Text(String),
    /// What the model thinks.
    Reasoning(String),
    /// What it says.
    Content(String),
    /// A tool that it calls, if calls are told from what it says.
    ToolCall(ToolCall),
    /// How likely tokens of the prompt were, if asked for; the first comes from nothing.
    Prompt(Vec<ScoredToken>),
    /// How likely tokens of the answer were, if asked for; their text may come later.
    Tokens(Vec<ScoredToken>),
    /// The experts of tokens that went through the model, if asked for.
    Routes(TokenRoutes),
    /// The device was lost, for this reason; it is opened again now.
    DeviceLost(String),
    /// The device is open again, and the answer goes on.
    DeviceReopened,
    /// The end.
    Done(Completion),
}

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// Its id.
    pub token: u32,
    /// Whether it belongs to the thinking.
    pub reasoning: bool,
    /// Its probability and those of the best tokens in its place; `None` for a prompt's first.
    pub logprobs: Option<TokenLogprobs>,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Everything generated, with the markers between thinking and answer.
    pub text: String,
    /// What the model thought.
    pub reasoning: String,
    /// What it said.
    pub content: String,
    /// The tools that it called.
    pub tool_calls: Vec<ToolCall>,
    /// How likely the prompt's tokens were, if asked for.
    pub prompt_logprobs: Vec<ScoredToken>,
    /// How likely the generated tokens were, if asked for.
    pub logprobs: Vec<ScoredToken>,
    /// The generated ids, without the one that ended the answer.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// How many tokens it took.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that an earlier prompt left in the cache.
    pub cached_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Those of them that were thinking.
    pub reasoning_tokens: usize,
    /// Those of them that were guessed and took no step of their own.
    pub guessed_tokens: usize,
}

/// Times of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

impl Completion {
    /// Prompt tokens that were run, per second.
    pub fn prefill_rate(&self) -> f64 {
        let tokens = self.usage.prompt_tokens - self.usage.cached_tokens;
        tokens as f64 / self.timings.prefill.as_secs_f64().max(1e-9)
    }

    /// Tokens of a step: 1 where no guess was right.
    pub fn tokens_per_step(&self) -> f64 {
        let tokens = self.usage.completion_tokens;
        tokens as f64 / (tokens - self.usage.guessed_tokens).max(1) as f64
    }

    /// Tokens after the first, per second.
    pub fn decode_rate(&self) -> f64 {
        let tokens = self.usage.completion_tokens.saturating_sub(1);
        tokens as f64 / self.timings.decode.as_secs_f64().max(1e-9)
    }
}

/// An answer under way: it is told of its tokens and tells what that means.
pub(super) struct Answer {
    language: Arc<Language>,
    prompt: Prompt,
    options: GenerateOptions,
    text: TextStream,
    stop: StopStrings,
    splitter: ReasoningSplitter,
    tools: Option<ToolSplitter>,
    completion: Completion,
    started: Instant,
    first_token: Option<Instant>,
    /// Whether the device was lost since it began.
    pub(super) has_lost_a_device: bool,
}

impl Answer {
    pub(super) fn new(
        language: &Arc<Language>,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<Self> {
        let tokenizer = &language.tokenizer;
        let opening = Opening::new(tokenizer, prompt.opens_reasoning);
        Ok(Self {
            language: Arc::clone(language),
            prompt: prompt.clone(),
            options: options.clone(),
            text: TextStream::new(Arc::clone(tokenizer), Specials::KeepStructure),
            stop: StopStrings::new(options.stop.clone())?,
            splitter: ReasoningSplitter::new(opening),
            tools: options.tools.map(ToolSplitter::new),
            completion: Completion {
                text: String::new(),
                reasoning: String::new(),
                content: String::new(),
                tool_calls: Vec::new(),
                prompt_logprobs: Vec::new(),
                logprobs: Vec::new(),
                tokens: Vec::new(),
                finish_reason: FinishReason::Length,
                usage: Usage {
                    prompt_tokens: prompt.tokens.len(),
                    ..Usage::default()
                },
                timings: Timings::default(),
            },
            started: Instant::now(),
            first_token: None,
            has_lost_a_device: false,
        })
    }

    /// What the engine has to do for it: all of it, or what is left after the tokens so far.
    pub(super) fn request(&self) -> Request {
        let (language, options) = (&self.language, &self.options);
        let grammar = options.grammar.as_ref();
        let special = |marker| language.tokenizer.special(marker);
        let thinking = match (options.thinking_budget, special(THINK), special(END_THINK)) {
            (Some(budget), Some(open), Some(close)) => Some(EndOfThinking {
                open,
                close,
                budget,
            }),
            _ => None,
        };
        let request = Request {
            tokens: self.prompt.tokens.clone(),
            resumed: 0,
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            min_tokens: options.min_tokens,
            stop_tokens: language.generation.eos_token_ids.clone(),
            sampling: options.sampling.clone(),
            logprobs: options.logprobs,
            prompt_logprobs: options.prompt_logprobs,
            thinking,
            constraint: grammar.map(|it| it.constraint(&self.prompt)),
            routes: options.routes,
        };
        request.after(&self.completion.tokens)
    }

    /// Notes how many tokens of the prompt were in the cache already.
    pub(super) fn cached(&mut self, tokens: usize) {
        // What was generated before a device was lost is no part of the prompt.
        if !self.has_lost_a_device {
            self.completion.usage.cached_tokens = tokens;
        }
    }

    /// Notes how likely tokens of the prompt were.
    pub(super) fn prompt(&mut self, logprobs: PromptLogprobs, tell: &mut impl FnMut(Update)) {
        let known = &mut self.completion.prompt_logprobs;
        // A device that was lost has told some of them already.
        let first = known.len();
        let mut scored = |position: usize, logprobs| {
            if position >= first {
                known.push(ScoredToken {
                    token: self.prompt.tokens[position],
                    reasoning: false,
                    logprobs,
                });
            }
        };
        if logprobs.position == 1 {
            scored(0, None);
        }
        for (index, token) in logprobs.tokens.into_iter().enumerate() {
            scored(logprobs.position + index, Some(token));
        }
        tell(Update::Prompt(known[first..].to_vec()));
    }

    /// Takes the next token. True if it completes a stop string, which ends the answer.
    pub(super) fn token(&mut self, chosen: Chosen, tell: &mut impl FnMut(Update)) -> bool {
        let Chosen {
            token,
            logprobs,
            guessed,
        } = chosen;
        self.completion.usage.guessed_tokens += usize::from(guessed);
        self.first_token.get_or_insert_with(Instant::now);
        self.completion.tokens.push(token);
        let reasoning = self.splitter.in_reasoning();
        self.completion.usage.reasoning_tokens += usize::from(reasoning);
        if logprobs.is_some() {
            let scored = ScoredToken {
                token,
                reasoning,
                logprobs,
            };
            self.completion.logprobs.push(scored.clone());
            tell(Update::Tokens(vec![scored]));
        }
        let text = self.text.push(token);
        let text = self.stop.push(&text);
        self.split(&text, tell);
        self.stop.stopped()
    }

    /// Ends it: what was held back comes, then the summary.
    pub(super) fn finish(mut self, reason: FinishReason, tell: &mut impl FnMut(Update)) {
        let rest = self.text.finish();
        let text = self.stop.push(&rest) + &self.stop.finish();
        self.split(&text, tell);
        for piece in self.splitter.finish() {
            self.give(piece, tell);
        }
        let rest = self.tools.as_mut().map(ToolSplitter::finish);
        for piece in rest.unwrap_or_default() {
            self.say(piece, tell);
        }
        let now = Instant::now();
        let first = self.first_token.unwrap_or(now);
        self.completion.finish_reason = reason;
        self.completion.usage.completion_tokens = self.completion.tokens.len();
        self.completion.timings = Timings {
            prefill: first - self.started,
            decode: now - first,
        };
        tell(Update::Done(self.completion));
    }

    fn split(&mut self, text: &str, tell: &mut impl FnMut(Update)) {
        if text.is_empty() {
            return;
        }
        self.completion.text.push_str(text);
        tell(Update::Text(text.to_owned()));
        for piece in self.splitter.push(text) {
            self.give(piece, tell);
        }
    }

    fn give(&mut self, piece: Piece, tell: &mut impl FnMut(Update)) {
        match (piece, &mut self.tools) {
            (Piece::Reasoning(text), _) => {
                self.completion.reasoning.push_str(&text);
                tell(Update::Reasoning(text));
            }
            (Piece::Content(text), None) => self.say(ToolPiece::Content(text), tell),
            (Piece::Content(text), Some(tools)) => {
                for piece in tools.push(&text) {
                    self.say(piece, tell);
                }
            }
        }
    }

    fn say(&mut self, piece: ToolPiece, tell: &mut impl FnMut(Update)) {
        tell(match piece {
            ToolPiece::Content(text) => {
                self.completion.content.push_str(&text);
                Update::Content(text)
            }
            ToolPiece::Call(call) => {
                self.completion.tool_calls.push(call.clone());
                Update::ToolCall(call)
            }
        });
    }
}

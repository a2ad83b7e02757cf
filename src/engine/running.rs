//! How a running sequence chooses its tokens: what the scheduler need not know of it.

use super::{
    Allowed, Chosen, Constraint, EndOfThinking, Planned, PromptLogprobs, Request, Sampler,
    TokenLogprobs, TokenSet,
};
use crate::error::{Error, Result};
use crate::ops::{Draw, NOT_FINITE};

/// A sequence's options, and how far its answer is.
pub(super) struct Running {
    sampler: Sampler,
    /// Where the answer begins.
    start: usize,
    max_tokens: usize,
    min_tokens: usize,
    stop_tokens: Vec<u32>,
    logprobs: Option<usize>,
    /// Tokens of the prompt of which it was told how likely they were, if that is asked for.
    told: Option<usize>,
    thinking: Option<Thinking>,
    constraint: Option<Box<dyn Constraint>>,
    has_begun: bool,
    /// Whether every token's experts are told.
    pub(super) routes: bool,
}

/// Who chooses a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chooser {
    /// The device, and the next step may look for it there.
    Device,
    /// The device, unless the host takes another token.
    DeviceUnlessHost,
    /// The host, by the scores.
    Host,
}

/// What a sequence's next token is.
pub(super) enum Next {
    Token(Chosen),
    /// The answer is complete without one.
    End,
}

impl Running {
    /// The state that a request begins in: what it resumes is taken note of.
    ///
    /// # Errors
    /// [`Error::Usage`] for a bad setting, or as the constraint's.
    pub(super) fn new(request: &Request) -> Result<Self> {
        let start = request.start();
        let mut running = Self {
            sampler: Sampler::new(request.sampling.clone())?,
            start,
            max_tokens: request.max_tokens,
            min_tokens: request.min_tokens,
            stop_tokens: request.stop_tokens.clone(),
            logprobs: request.logprobs,
            told: request.prompt_logprobs.then_some(1),
            thinking: request
                .thinking
                .map(|end| Thinking::new(end, &request.tokens[..start])),
            constraint: request.constraint.clone(),
            has_begun: false,
            routes: request.routes,
        };
        for &token in &request.tokens[start..] {
            running.advance(token)?;
        }
        Ok(running)
    }

    /// Whether its prompt has been read now, for the first time.
    pub(super) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.has_begun, true)
    }

    /// Who chooses the token after the `planned` ones, which complete what is known.
    pub(super) fn chooser(&self, planned: &Planned) -> Chooser {
        let generated = planned.end() - self.start;
        if self.sampler.needs_scores() || self.constraint.is_some() || generated < self.min_tokens {
            Chooser::Host
        } else if let Some(thinking) = &self.thinking
            && thinking.may_be_due(generated)
        {
            Chooser::DeviceUnlessHost
        } else {
            Chooser::Device
        }
    }

    /// Whether tokens behind all `tokens` of it may be guessed: the device must choose them and no scores be read.
    pub(super) fn takes_guesses(&self, tokens: usize) -> bool {
        let is_long_enough = tokens >= self.start + self.min_tokens;
        is_long_enough
            && self.constraint.is_none()
            && self.logprobs.is_none()
            && !self.sampler.needs_scores()
    }

    /// Whether the device draws the token after the `planned` ones by chance.
    pub(super) fn is_drawn(&self, planned: &Planned) -> bool {
        planned.complete && self.chooser(planned) != Chooser::Host && !self.sampler.is_greedy()
    }

    /// How the device draws the token at `position`.
    pub(super) fn draw(&self, position: usize) -> Draw {
        self.sampler.draw(position)
    }

    /// Whether the host reads scores of the `planned` tokens.
    pub(super) fn wants_scores(&self, planned: &Planned) -> bool {
        let chooses = planned.complete && self.max_tokens > 0;
        self.wants_prompt(planned)
            || chooses && (self.logprobs.is_some() || self.chooser(planned) == Chooser::Host)
    }

    /// Whether the scores of the `planned` tokens are told: those of the prompt but its last.
    fn wants_prompt(&self, planned: &Planned) -> bool {
        self.told.is_some() && planned.span.start + 1 < self.start
    }

    /// How likely the tokens after the `planned` ones were, as far as they are the prompt's and have not been
    /// told. `scores` are those of the planned tokens that have outputs, `tokens` the whole sequence.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a score is not finite.
    pub(super) fn prompt(
        &mut self,
        planned: &Planned,
        tokens: &[u32],
        scores: &[f32],
    ) -> Result<Option<PromptLogprobs>> {
        let Some(told) = self.told.filter(|_| self.wants_prompt(planned)) else {
            return Ok(None);
        };
        let vocabulary = scores.len() / planned.span.outputs;
        let first = planned.end() + 1 - planned.span.outputs;
        let ends = (planned.end() + 1).min(self.start);
        let place = |position: usize| {
            let row = &scores[(position - first) * vocabulary..][..vocabulary];
            TokenLogprobs::new(row, tokens[position], self.logprobs.unwrap_or(0))
                .ok_or(Error::NonFinite { position })
        };
        let position = told.max(first);
        let tokens = (position..ends).map(place).collect::<Result<Vec<_>>>()?;
        self.told = Some(ends.max(told));
        Ok((!tokens.is_empty()).then_some(PromptLogprobs { position, tokens }))
    }

    /// The token after `tokens`: the `device`'s choice, another, or none. `scores` are there if they are wanted.
    ///
    /// # Errors
    /// [`Error::NonFinite`] if a score is not finite, or as the constraint's.
    pub(super) fn choose(
        &mut self,
        planned: &Planned,
        tokens: &[u32],
        device: Option<u32>,
        scores: Option<&[f32]>,
    ) -> Result<Next> {
        let position = tokens.len();
        let not_finite = || Error::NonFinite { position };
        let forced = self.thinking.as_ref().and_then(Thinking::forced);
        let token = match (forced, self.chooser(planned)) {
            (Some(token), _) => Some(token),
            (None, Chooser::Host) => {
                let Some(choices) = self.choices(position - self.start)? else {
                    return Ok(Next::End);
                };
                let (prompt, answer) = tokens.split_at(self.start);
                let scores = scores.expect("the host chooses by scores");
                let is_allowed = |token| choices.contains(token);
                self.sampler.sample(scores, prompt, answer, is_allowed)
            }
            (None, _) => device.filter(|&token| token != NOT_FINITE),
        };
        let token = token.ok_or_else(not_finite)?;
        let logprobs = match self.logprobs.zip(scores) {
            Some((best, scores)) => {
                Some(TokenLogprobs::new(scores, token, best).ok_or_else(not_finite)?)
            }
            None => None,
        };
        // A stop token ends the answer and is no part of it.
        if !self.stop_tokens.contains(&token) {
            self.advance(token)?;
        }
        Ok(Next::Token(Chosen {
            token,
            logprobs,
            guessed: false,
        }))
    }

    /// What may come after `generated` tokens of the answer; `None` if it is complete.
    fn choices(&mut self, generated: usize) -> Result<Option<Choices>> {
        let among = match &mut self.constraint {
            None => None,
            Some(constraint) => match constraint.allowed()? {
                Allowed::Any => None,
                Allowed::Only(tokens) => Some(tokens),
                Allowed::End => return Ok(None),
            },
        };
        if among.as_ref().is_some_and(TokenSet::is_empty) {
            let why = "the constraint leaves no token to choose";
            return Err(Error::Internal(why.into()));
        }
        let mut except = Vec::new();
        if generated < self.min_tokens {
            except.clone_from(&self.stop_tokens);
            let rest = among.clone().map(|mut rest| {
                for &token in &except {
                    rest.remove(token);
                }
                rest
            });
            // An answer that cannot go on ends, however short it is.
            if rest.is_some_and(|rest| rest.is_empty()) {
                except.clear();
            }
        }
        Ok(Some(Choices { among, except }))
    }

    fn advance(&mut self, token: u32) -> Result<()> {
        if let Some(thinking) = &mut self.thinking {
            thinking.advance(token);
        }
        match &mut self.constraint {
            Some(constraint) => constraint.advance(token),
            None => Ok(()),
        }
    }
}

/// Tokens to choose from.
struct Choices {
    among: Option<TokenSet>,
    except: Vec<u32>,
}

impl Choices {
    fn contains(&self, token: u32) -> bool {
        let among = self.among.as_ref();
        among.is_none_or(|tokens| tokens.contains(token)) && !self.except.contains(&token)
    }
}

/// How long an answer has been thinking.
struct Thinking {
    end: EndOfThinking,
    state: State,
    /// Tokens of thinking.
    tokens: usize,
    /// Tokens of the answer.
    generated: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Open,
    /// What is thought after that is not limited.
    Over,
}

impl Thinking {
    fn new(end: EndOfThinking, prompt: &[u32]) -> Self {
        let markers = [end.open, end.close];
        let last = prompt.iter().rev().find(|token| markers.contains(token));
        Self {
            end,
            state: if last == Some(&end.open) {
                State::Open
            } else {
                State::Before
            },
            tokens: 0,
            generated: 0,
        }
    }

    fn advance(&mut self, token: u32) {
        self.generated += 1;
        if self.state == State::Before && token == self.end.open {
            self.state = State::Open;
        } else if token == self.end.close {
            self.state = State::Over;
        } else if self.state == State::Open {
            self.tokens += 1;
        }
    }

    /// The token that must come next.
    fn forced(&self) -> Option<u32> {
        let is_due = self.state == State::Open && self.tokens >= self.end.budget;
        is_due.then_some(self.end.close)
    }

    /// Whether thinking may have to end after `generated` tokens of the answer, the last of which may not
    /// be known yet.
    fn may_be_due(&self, generated: usize) -> bool {
        let unknown = generated - self.generated;
        self.state != State::Over && self.tokens + unknown >= self.end.budget
    }
}

//! Token ids in, token ids out: which sequences run next, and what they say.
//!
//! Knows no text and no architecture. Single-threaded: the GPU's queue is serial anyway.

mod blocks;
mod runner;
mod sampler;
mod scheduler;

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layers::Span;
use crate::models::Model;
use crate::ops::NOT_FINITE;

pub use blocks::{BLOCK, BlockPool};
pub use runner::{Choices, Runner, StepOutput, Want};
pub use sampler::{Sampler, Sampling};
pub use scheduler::{Limits, Planned, Scheduler, SequenceId};

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said a stop token.
    Stop,
    /// It reached the request's or the context's length.
    Length,
}

/// What a step brought.
#[derive(Debug)]
pub enum Event {
    /// A sequence has a new token.
    Token(SequenceId, u32),
    /// A sequence is over; a stop token that ended it is not reported.
    Finished(SequenceId, FinishReason),
    /// A sequence failed; the others go on.
    Failed(SequenceId, Error),
}

/// A prompt and how to continue it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt's ids.
    pub tokens: Vec<u32>,
    /// How many ids at the prompt's end were sampled before, by a request that this one resumes:
    /// its random numbers go on behind theirs.
    pub resumed: usize,
    /// The most tokens to generate.
    pub max_tokens: usize,
    /// Ids that end the answer.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// What a new sequence found done already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub id: SequenceId,
    /// Tokens of the prompt that an earlier sequence left in the cache.
    pub cached_tokens: usize,
}

/// A model with its cache and the sequences that use it.
pub struct Engine {
    runner: Runner,
    scheduler: Scheduler,
    samplers: HashMap<SequenceId, Sampler>,
}

impl Engine {
    /// Reserves the cache for `limits`.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if the device has no room for it.
    pub async fn new(gpu: Rc<Gpu>, model: Box<dyn Model>, limits: Limits) -> Result<Self> {
        let runner = Runner::new(gpu, model, limits.context, limits.blocks()).await?;
        Ok(Self {
            runner,
            scheduler: Scheduler::new(limits),
            samplers: HashMap::new(),
        })
    }

    /// The model and its cache.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Tokens that a sequence may have.
    pub fn context(&self) -> usize {
        self.scheduler.limits().context
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty prompt, an unknown token or a bad setting,
    /// [`Error::ContextExceeded`] for a prompt that leaves no room for an answer.
    pub fn add(&mut self, request: Request) -> Result<Admission> {
        let vocabulary = self.runner.shape().vocabulary;
        if let Some(token) = request
            .tokens
            .iter()
            .find(|&&token| token as usize >= vocabulary)
        {
            return Err(Error::Usage(format!(
                "token {token} is not below the vocabulary of {vocabulary}"
            )));
        }
        let sampler = Sampler::new(request.sampling.clone(), request.resumed)?;
        let admission = self.scheduler.add(request)?;
        self.samplers.insert(admission.id, sampler);
        Ok(admission)
    }

    /// Drops a sequence, whatever it is doing; its prompt stays in the cache for the next one.
    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        self.samplers.remove(&id);
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.samplers.is_empty()
    }

    /// Runs the model once; no events if no sequence is left.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or what else the device reports; all sequences are lost with it.
    pub async fn step(&mut self) -> Result<Vec<Event>> {
        let plan = self.scheduler.plan();
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let greedy =
            |planned: &Planned| !planned.complete || self.samplers[&planned.id].is_greedy();
        let want = if plan.iter().all(greedy) {
            Want::Tokens
        } else {
            Want::Scores
        };
        let spans: Vec<Span> = plan.iter().map(|planned| planned.span.clone()).collect();
        let output = self.runner.run(&spans, want).await?;
        let mut events = Vec::new();
        for (row, planned) in plan.iter().enumerate() {
            self.scheduler.ran(planned);
            if planned.complete {
                self.choose(planned, row, &output, &mut events);
            }
        }
        Ok(events)
    }

    fn choose(
        &mut self,
        planned: &Planned,
        row: usize,
        output: &StepOutput,
        events: &mut Vec<Event>,
    ) {
        let id = planned.id;
        let history = self.scheduler.tokens(id);
        let sampler = self
            .samplers
            .get_mut(&id)
            .expect("every planned sequence has a sampler");
        let token = match &output.choices {
            Choices::Tokens(tokens) => Some(tokens[row]).filter(|&token| token != NOT_FINITE),
            Choices::Scores(scores) => {
                let vocabulary = self.runner.shape().vocabulary;
                sampler.sample(&scores[row * vocabulary..][..vocabulary], history)
            }
        };
        let Some(token) = token else {
            let position = history.len();
            self.cancel(id);
            events.push(Event::Failed(id, Error::NonFinite { position }));
            return;
        };
        let finished = self.scheduler.push(id, token);
        if finished != Some(FinishReason::Stop) {
            events.push(Event::Token(id, token));
        }
        if let Some(reason) = finished {
            self.samplers.remove(&id);
            events.push(Event::Finished(id, reason));
        }
    }
}

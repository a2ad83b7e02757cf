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
pub use runner::{Choices, Runner, StepOutput, Submitted, Want};
pub use sampler::{Sampler, Sampling};
pub use scheduler::{Limits, Planned, Scheduler, SequenceId};

/// Tokens of a prompt that takes every kernel that long prompts take.
const WARM_UP_TOKENS: usize = 32;

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said a stop token.
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
    /// A sequence has a new token.
    Token(SequenceId, u32),
    /// A sequence is over; a stop token that ended it is not reported.
    Finished(SequenceId, FinishReason),
    /// A sequence failed; the others go on.
    Failed(SequenceId, Error),
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
    /// Whether every token's experts are reported: [`Event::Routes`].
    pub routes: bool,
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
    running: HashMap<SequenceId, Running>,
    /// The step that the device works on already.
    ahead: Option<Step>,
}

/// A step that was submitted.
struct Step {
    plan: Vec<Planned>,
    want: Want,
    submitted: Submitted,
}

/// What the scheduler need not know of a sequence.
struct Running {
    sampler: Sampler,
    routes: bool,
}

impl Engine {
    /// Reserves the cache for `limits`.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if the device has no room for it.
    pub async fn new(gpu: Rc<Gpu>, model: Box<dyn Model>, limits: Limits) -> Result<Self> {
        let (context, kind) = (limits.context, limits.cache_type);
        let runner = Runner::new(gpu, model, context, limits.blocks(), kind).await?;
        Ok(Self {
            runner,
            scheduler: Scheduler::new(limits),
            running: HashMap::new(),
            ahead: None,
        })
    }

    /// Runs a prompt and a token of an answer for nothing, so that the first request finds the kernels
    /// compiled. Only for an engine that has run nothing yet: it writes into the cache.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn warm_up(&mut self) -> Result<()> {
        for tokens in [WARM_UP_TOKENS.min(self.context()), 1] {
            let span = Span {
                tokens: vec![0; tokens],
                start: 0,
                blocks: (0..tokens.div_ceil(BLOCK) as u32).collect(),
                outputs: 1,
            };
            self.runner.run(&[span], Want::TOKENS).await?;
        }
        Ok(())
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
        let routes = request.routes;
        let admission = self.scheduler.add(request)?;
        let running = Running { sampler, routes };
        self.running.insert(admission.id, running);
        Ok(admission)
    }

    /// Drops a sequence, whatever it is doing; its prompt stays in the cache for the next one.
    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        self.running.remove(&id);
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Runs the model once; no events if no sequence is left, or if the step was for one that was
    /// cancelled meanwhile.
    ///
    /// As long as all sequences take the best token, the device has the next step to work on while the
    /// host looks at this one's tokens: it chooses the tokens itself.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] or what else the device reports; all sequences are lost with it.
    pub async fn step(&mut self) -> Result<Vec<Event>> {
        let Some(step) = self.ahead.take().or_else(|| self.begin()) else {
            return Ok(Vec::new());
        };
        self.ahead = self.begin_after(&step);
        let output = match self.runner.read(step.submitted).await {
            Ok(output) => output,
            Err(error) => {
                self.ahead = None;
                return Err(error);
            }
        };
        let mut events = Vec::new();
        let mut first = 0;
        for (row, planned) in step.plan.iter().enumerate() {
            // What was submitted before a sequence ended or was cancelled is of no use.
            if let Some(running) = self.running.get(&planned.id) {
                if running.routes {
                    events.push(Event::Routes(planned.id, output.routes(planned, first)));
                }
                self.scheduler.ran(planned);
                if planned.complete {
                    self.choose(planned, row, &output, &mut events);
                }
            }
            first += planned.span.tokens.len();
        }
        Ok(events)
    }

    /// Submits what the scheduler wants next.
    fn begin(&mut self) -> Option<Step> {
        let plan = self.scheduler.plan();
        if plan.is_empty() {
            return None;
        }
        let running = |planned: &Planned| &self.running[&planned.id];
        let want = Want {
            scores: plan
                .iter()
                .any(|planned| planned.complete && !running(planned).sampler.is_greedy()),
            routes: plan.iter().any(|planned| running(planned).routes),
        };
        Some(self.submit(plan, want, None))
    }

    /// Submits the step after `step`, if its tokens need not pass the host.
    fn begin_after(&mut self, step: &Step) -> Option<Step> {
        if step.want.scores {
            return None;
        }
        let plan = self.scheduler.plan_ahead(&step.plan)?;
        Some(self.submit(plan, step.want, Some(&step.submitted)))
    }

    fn submit(&mut self, plan: Vec<Planned>, want: Want, after: Option<&Submitted>) -> Step {
        let spans: Vec<Span> = plan.iter().map(|planned| planned.span.clone()).collect();
        let submitted = self.runner.submit(&spans, want, after);
        Step {
            plan,
            want,
            submitted,
        }
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
        let Running { sampler, .. } = self
            .running
            .get_mut(&id)
            .expect("every planned sequence is running");
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
            self.running.remove(&id);
            events.push(Event::Finished(id, reason));
        }
    }
}

impl StepOutput {
    /// The experts of `planned`'s tokens, the first of which is in row `first` of the step.
    fn routes(&self, planned: &Planned, first: usize) -> TokenRoutes {
        let tokens = planned.span.tokens.len();
        let rows = |layer: &Vec<u32>| {
            let slots = layer.len() / self.tokens;
            layer[first * slots..][..tokens * slots].to_vec()
        };
        TokenRoutes {
            position: planned.span.start,
            tokens,
            layers: self.routes.iter().map(rows).collect(),
        }
    }
}

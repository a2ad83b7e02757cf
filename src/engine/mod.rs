//! Token ids in, token ids out: which sequences run next, and what they say.
//!
//! Knows no text and no architecture. Single-threaded: the GPU's queue is serial anyway.

mod blocks;
mod constraint;
mod drafts;
mod event;
mod logprobs;
mod pace;
mod request;
mod runner;
mod running;
mod sampler;
mod saved;
mod scheduler;
mod sequence;
mod tune;
mod verify;
mod want;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::layers::Span;
use crate::models::Model;
use crate::ops::Draw;

pub use blocks::{BLOCK, BlockHash, BlockPool};
pub use constraint::{Allowed, Constraint, TokenSet};
use drafts::Drafts;
pub use drafts::{Guesses, LOOK_UP, Speculate, look_up};
pub use event::{Chosen, Event, FinishReason, PromptLogprobs, TokenRoutes};
pub use logprobs::TokenLogprobs;
pub use request::{EndOfThinking, MOST_LOGPROBS, Request};
pub use runner::{Follow, Inputs, Runner, StepOutput, Submitted};
use running::{Chooser, Running};
pub use sampler::{Sampler, Sampling};
pub use scheduler::{Limits, Load, Planned, Scheduler, SequenceId};
pub use tune::{Tune, tune};
pub use want::{Choice, Want};

/// Steps that are under way together unless asked otherwise, so that a device never waits for the host. A software
/// adapter is the host: it has more to do than to wait, and one step after the other is faster.
pub fn steps_in_flight(gpu: &Gpu) -> NonZeroUsize {
    let steps = if gpu.tiers.software { 1 } else { 4 };
    NonZeroUsize::new(steps).expect("not 0")
}

/// Tokens of a prompt that takes every kernel that long prompts take.
const WARM_UP_TOKENS: usize = 32;
/// Tokens of a step that may want scores: those of a large vocabulary take half a megabyte each.
const MOST_OUTPUTS: usize = 64;

/// A model with its cache and the sequences that use it.
pub struct Engine {
    runner: Runner,
    scheduler: Scheduler,
    running: HashMap<SequenceId, Running>,
    /// Steps that the device works on already, in order.
    flight: VecDeque<Step>,
    in_flight: usize,
    drafts: Option<Drafts>,
    guesses: Guesses,
}

/// A step that was submitted.
struct Step {
    plan: Vec<Planned>,
    submitted: Submitted,
    /// Whether the next step can be submitted before this one is over.
    leads_on: bool,
    /// Whether it checks guesses, where there are some.
    guesses: bool,
}

impl Engine {
    /// Reserves the cache for `limits`.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`](crate::error::Error::DoesNotFit) if the device has no room for it.
    pub async fn new(gpu: Rc<Gpu>, model: Box<dyn Model>, limits: Limits) -> Result<Self> {
        let (context, kind) = (limits.context, limits.cache_type);
        let in_flight = steps_in_flight(&gpu).get();
        let outputs = gpu.binding_limit / (4 * model.shape().vocabulary as u64);
        let runner = Runner::new(gpu, model, context, limits.blocks(), kind).await?;
        let mut scheduler = Scheduler::new(limits);
        scheduler.limit_outputs(MOST_OUTPUTS.min(outputs as usize));
        Ok(Self {
            runner,
            scheduler,
            running: HashMap::new(),
            flight: VecDeque::new(),
            in_flight,
            drafts: None,
            guesses: Guesses::default(),
        })
    }

    /// Lets up to `steps` steps be under way together. Answers do not depend on it.
    pub fn keep_in_flight(&mut self, steps: NonZeroUsize) {
        self.in_flight = steps.get();
    }

    /// Lets tokens be guessed and then checked together. Answers do not depend on it, but for scores that are
    /// nearly equal. Nothing is guessed at first.
    pub fn speculate(&mut self, how: Speculate) {
        self.drafts = Drafts::new(how, self.runner.predicts());
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

    /// Finds the constants that suit the device, as [`tune`] does. Only for an engine that has run nothing yet.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn tune(&mut self, when: Tune) -> Result<usize> {
        tune(&mut self.runner, when).await
    }

    /// The model and its cache.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Tokens that a sequence may have.
    pub fn context(&self) -> usize {
        self.scheduler.limits().context
    }

    /// How busy it is.
    pub fn load(&self) -> Load {
        self.scheduler.load()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for an empty prompt, an unknown token or a bad setting,
    /// [`Error::ContextExceeded`](crate::error::Error::ContextExceeded) for a prompt that leaves no room for an answer; or as the constraint's.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        request.check(self.runner.shape().vocabulary)?;
        let running = Running::new(&request)?;
        let id = self.scheduler.add(request)?;
        self.running.insert(id, running);
        Ok(id)
    }

    /// Drops a sequence, whatever it is doing; what it has in the cache stays there for others.
    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        self.forget(id);
    }

    /// How many tokens were guessed so far.
    pub fn guesses(&self) -> Guesses {
        self.guesses
    }

    fn forget(&mut self, id: SequenceId) {
        self.running.remove(&id);
        if let Some(drafts) = &mut self.drafts {
            drafts.remove(id);
        }
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Runs the model once; no events if no sequence is left.
    ///
    /// As long as the device chooses the tokens, it has further steps to work on while the host looks at
    /// this one's. Those of sequences that end meanwhile are of no use.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::error::Error::DeviceLost) or what else the device reports; all sequences are lost with it.
    pub async fn step(&mut self) -> Result<Vec<Event>> {
        let running = &self.running;
        let is_useful = |planned: &Planned| running.contains_key(&planned.id);
        self.flight.retain(|step| step.plan.iter().any(is_useful));
        while self.flight.len() < self.in_flight {
            let Some(step) = self.begin() else { break };
            self.flight.push_back(step);
        }
        let Some(step) = self.flight.pop_front() else {
            return Ok(Vec::new());
        };
        let output = match self.runner.read(step.submitted).await {
            Ok(output) => output,
            Err(error) => {
                self.flight.clear();
                return Err(error);
            }
        };
        let mut events = Vec::new();
        self.take(&step.plan, &output, &mut events);
        self.time(&step.plan, step.guesses, &events);
        Ok(events)
    }

    /// Submits what the scheduler wants next, if that can be known before the steps under way are over.
    fn begin(&mut self) -> Option<Step> {
        if self.flight.back().is_some_and(|step| !step.leads_on) {
            return None;
        }
        let guesses = self.guess()?;
        let plan = self.scheduler.plan();
        if plan.is_empty() {
            return None;
        }
        let want = Want {
            guesses: self.wants_predictions(&plan, guesses),
            ..self.want(&plan)
        };
        let next: Vec<_> = plan
            .iter()
            .map(|planned| self.token_after(planned))
            .collect();
        let draws = |planned: &Planned| {
            let running = &self.running[&planned.id];
            let end = planned.end();
            (end - planned.span.outputs..end).map(|position| running.draw(position + 1))
        };
        let draws: Vec<Draw> = match want.choice {
            Choice::Drawn => plan.iter().flat_map(draws).collect(),
            Choice::None | Choice::Best => Vec::new(),
        };
        let tokens = followed(&plan);
        let follow = self.flight.back().map(|step| Follow {
            step: &step.submitted,
            tokens: &tokens,
        });
        let inputs = Inputs {
            draws: &draws,
            next: &next,
            follow,
        };
        let submitted = self.runner.submit(&plan, want, inputs);
        // A part of a prompt runs alone: none is begun that may be cancelled before it is over.
        let is_device = |planned: &Planned| {
            planned.complete && self.running[&planned.id].chooser(planned) == Chooser::Device
        };
        // Guesses may be wrong, and then the next tokens stand elsewhere.
        let leads_on = !guesses && plan.iter().all(is_device);
        Some(Step {
            plan,
            submitted,
            leads_on,
            guesses,
        })
    }

    /// What a step must give for its sequences to go on.
    fn want(&self, plan: &[Planned]) -> Want {
        let any = |is: fn(&Running, &Planned) -> bool| {
            let mut plan = plan.iter();
            plan.any(|planned| is(&self.running[&planned.id], planned))
        };
        Want {
            choice: if any(Running::is_drawn) {
                Choice::Drawn
            } else {
                Choice::Best
            },
            scores: any(Running::wants_scores),
            routes: any(|running, _| running.routes),
            guesses: false,
        }
    }
}

/// The tokens of a plan that are not known yet: the outputs of the step before, and where they belong.
fn followed(plan: &[Planned]) -> Vec<(usize, usize)> {
    let mut token = 0;
    let mut tokens = Vec::new();
    for planned in plan {
        tokens.extend(planned.follows.map(|output| (output, token)));
        token += planned.span.tokens.len();
    }
    tokens
}

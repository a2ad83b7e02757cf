//! Running tests: how long they take, and what the host and the launches do meanwhile.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tiefsee::engine::{BLOCK, Follow, Inputs, Runner, Submitted, Want, steps_in_flight};
use tiefsee::gpu::Clock;
use tiefsee::layers::Span;
use tiefsee::models::ModelShape;
use tiefsee::ops::NOT_FINITE;
use tiefsee::{Error, Result};

use super::by_op::{Op, by_op};
use super::samples::{mean, median};
use super::tests::Test;

/// Tokens of a prompt that run in one step, as in the engine.
const CHUNK: usize = 256;
/// Generated tokens after which nothing is new any more.
const WARM_UP: usize = 8;
/// Steps whose host time is taken.
const HOST_STEPS: usize = 32;
/// Most seconds that those steps may take.
const HOST_SECONDS: f64 = 2.0;
/// How often a launch of a single token is repeated where the host's clock times it: often it takes less than a submit.
const HOST_REPEATS: u32 = 8;

/// What a test gave.
pub(super) struct Row {
    pub(super) test: Test,
    /// Tokens a second of each repetition.
    pub(super) speeds: Vec<f64>,
    /// Tokens of a step.
    pub(super) step_tokens: usize,
    /// Launches of a step.
    pub(super) launches: usize,
    /// Submits of a step.
    pub(super) submits: usize,
    /// Seconds that the host takes to write a step's tokens, and to encode and submit its launches: the
    /// median over steps.
    pub(super) host: f64,
    /// Bytes of weights and cache that a generated token must read, at the middle of the test.
    pub(super) token_bytes: Option<u64>,
    /// Whose time that of the launches is.
    pub(super) clock: Clock,
    /// The launches of a step at the middle of an answer, or at the end of a prompt.
    pub(super) ops: Vec<Op>,
}

impl Row {
    pub(super) fn mean(&self) -> f64 {
        mean(&self.speeds)
    }

    pub(super) fn best(&self) -> f64 {
        self.speeds.iter().copied().fold(0.0, f64::max)
    }

    /// Bytes a second at the mean speed.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        self.token_bytes.map(|bytes| bytes as f64 * self.mean())
    }

    /// Seconds of the host for a launch.
    pub(super) fn host_per_launch(&self) -> f64 {
        self.host / self.launches as f64
    }

    /// Seconds of all launches of a step.
    pub(super) fn device(&self) -> f64 {
        self.ops.iter().map(Op::took).sum()
    }
}

/// One sequence and the model that runs it.
pub(super) struct Bench {
    runner: Runner,
    shape: ModelShape,
    weight_bytes: u64,
    /// Tokens of the prompt that are in the cache.
    filled: usize,
}

impl Bench {
    pub(super) fn new(runner: Runner, weight_bytes: u64) -> Self {
        let shape = runner.shape().clone();
        Self {
            runner,
            shape,
            weight_bytes,
            filled: 0,
        }
    }

    /// How long a prompt takes until its first token is there.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub(super) async fn prompt(&mut self, tokens: usize) -> Result<Duration> {
        let started = Instant::now();
        self.read(0..tokens).await?;
        Ok(started.elapsed())
    }

    /// Runs `test` once for warming up and then `repetitions` times, then times its launches as often.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub(super) async fn run(&mut self, test: &Test, repetitions: usize) -> Result<Row> {
        if self.filled < test.depth {
            self.read(self.filled..test.depth).await?;
        }
        // The test's own tokens are overwritten by the next one's.
        self.filled = test.depth;
        let warm_up = if test.generates {
            test.tokens.min(WARM_UP)
        } else {
            test.tokens
        };
        self.once(&Test {
            tokens: warm_up,
            ..*test
        })
        .await?;
        let mut speeds = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            let started = Instant::now();
            self.once(test).await?;
            speeds.push(test.tokens as f64 / started.elapsed().as_secs_f64());
        }
        self.profile(test, repetitions, speeds).await
    }

    async fn once(&mut self, test: &Test) -> Result<()> {
        if test.generates {
            self.generate(test.depth..test.end()).await
        } else {
            self.read(test.depth..test.end()).await
        }
    }

    /// Times the launches of a step that is typical of `test`.
    async fn profile(&mut self, test: &Test, repetitions: usize, speeds: Vec<f64>) -> Result<Row> {
        let positions = if test.generates {
            let middle = test.depth + test.tokens / 2;
            middle..middle + 1
        } else {
            let chunks = (test.tokens - 1) / CHUNK;
            test.depth + chunks * CHUNK..test.end()
        };
        let token_bytes = self.weight_bytes + self.cache_bytes(positions.end);
        let host = self.host(&positions).await?;
        let gpu = Rc::clone(self.runner.gpu());
        let span = self.span(positions.clone());
        let recording = self.runner.prepare(&[span], Want::TOKENS);
        let repeats = match gpu.clock {
            Clock::Host if test.generates => HOST_REPEATS,
            _ => 1,
        };
        let mut profiles = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            profiles.push(recording.profile(&gpu, repeats).await?);
        }
        let by_host = profiles.iter().any(|profile| profile.clock == Clock::Host);
        Ok(Row {
            test: *test,
            speeds,
            step_tokens: positions.len(),
            launches: recording.works().len(),
            submits: recording.submits(),
            host,
            token_bytes: test.generates.then_some(token_bytes),
            clock: if by_host { Clock::Host } else { Clock::Device },
            ops: by_op(recording.works(), &positions, &profiles),
        })
    }

    /// Seconds of the host for a step: the median of several, each of which finds the device idle. Else some
    /// drivers let the host wait for the step before.
    async fn host(&mut self, positions: &Range<usize>) -> Result<f64> {
        let (started, mut seconds) = (Instant::now(), Vec::with_capacity(HOST_STEPS));
        while seconds.len() < HOST_STEPS
            && (seconds.is_empty() || started.elapsed().as_secs_f64() < HOST_SECONDS)
        {
            let began = Instant::now();
            let submitted = self.submit(positions.clone(), None);
            seconds.push(began.elapsed().as_secs_f64());
            self.check(submitted, positions.end).await?;
        }
        Ok(median(&seconds))
    }

    fn cache_bytes(&self, tokens: usize) -> u64 {
        let kind = self.runner.cache_type();
        let row = kind.row_bytes(self.shape.cache_width) + kind.row_bytes(self.shape.index_width);
        (row * self.shape.layers * tokens) as u64
    }

    /// Reads the prompt's tokens at `positions`, in chunks.
    async fn read(&mut self, positions: Range<usize>) -> Result<()> {
        for first in positions.clone().step_by(CHUNK) {
            let chunk = first..positions.end.min(first + CHUNK);
            let submitted = self.submit(chunk.clone(), None);
            self.check(submitted, chunk.end).await?;
        }
        Ok(())
    }

    /// Generates tokens at `positions`, each from the one before, which the host need not have seen.
    async fn generate(&mut self, positions: Range<usize>) -> Result<()> {
        // As many as the engine keeps under way.
        let steps = steps_in_flight(self.runner.gpu()).get();
        let mut ahead: VecDeque<(Submitted, usize)> = VecDeque::with_capacity(steps);
        for position in positions {
            let before = ahead.back().map(|(submitted, _)| submitted);
            let submitted = self.submit(position..position + 1, before);
            ahead.push_back((submitted, position + 1));
            if ahead.len() == steps {
                let (submitted, end) = ahead.pop_front().expect("one is there");
                self.check(submitted, end).await?;
            }
        }
        for (submitted, end) in ahead {
            self.check(submitted, end).await?;
        }
        Ok(())
    }

    fn submit(&mut self, positions: Range<usize>, after: Option<&Submitted>) -> Submitted {
        let span = self.span(positions);
        let follow = after.map(|step| Follow {
            step,
            tokens: &[(0, 0)],
        });
        let inputs = Inputs {
            follow,
            ..Inputs::default()
        };
        self.runner.submit(&[span], Want::TOKENS, inputs)
    }

    /// Tokens without rhyme or reason, of which the last wants scores.
    fn span(&self, positions: Range<usize>) -> Span {
        let token = |position: usize| ((position * 7919 + 13) % self.shape.vocabulary) as u32;
        Span {
            start: positions.start,
            blocks: (0..positions.end.div_ceil(BLOCK) as u32).collect(),
            outputs: 1,
            tokens: positions.map(token).collect(),
        }
    }

    /// Waits for a step, whose tokens end before `position`.
    async fn check(&self, submitted: Submitted, position: usize) -> Result<()> {
        let output = self.runner.read(submitted).await?;
        if output.chosen[0] == NOT_FINITE {
            return Err(Error::NonFinite { position });
        }
        Ok(())
    }
}

//! Running tests: what is timed, and what else is counted meanwhile.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tiefsee::engine::{BLOCK, Runner, Want};
use tiefsee::layers::Span;
use tiefsee::models::ModelShape;
use tiefsee::ops::NOT_FINITE;
use tiefsee::{Error, Result};

/// Tokens of a prompt that run in one step, as in the engine.
const CHUNK: usize = 256;
/// Generated tokens after which nothing is new any more.
const WARM_UP: usize = 8;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Tokens that are read or generated.
    pub(super) tokens: usize,
    /// Tokens before them.
    pub(super) depth: usize,
    /// Whether they are generated one by one.
    pub(super) generates: bool,
}

impl Test {
    /// Tokens that the sequence has in the end.
    pub(super) fn end(&self) -> usize {
        self.depth + self.tokens
    }

    /// As llama-bench calls it.
    pub(super) fn name(&self) -> String {
        let what = if self.generates { "tg" } else { "pp" };
        let depth = if self.depth > 0 {
            format!(" @ d{}", self.depth)
        } else {
            String::new()
        };
        format!("{what}{}{depth}", self.tokens)
    }
}

/// What a test gave.
pub(super) struct Row {
    pub(super) test: Test,
    /// Tokens a second of each repetition.
    pub(super) speeds: Vec<f64>,
    /// Launches of its last step.
    pub(super) launches: usize,
    /// Submits of its last step.
    pub(super) submits: usize,
    /// Seconds that the host takes to encode and submit a launch: the median over steps.
    pub(super) host_per_launch: f64,
    /// Bytes that a generated token reads, at the middle of the test.
    pub(super) token_bytes: Option<u64>,
}

impl Row {
    pub(super) fn mean(&self) -> f64 {
        self.speeds.iter().sum::<f64>() / self.speeds.len() as f64
    }

    /// The sample's standard deviation; 0 for a single repetition.
    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.speeds.iter().map(|speed| (speed - mean).powi(2)).sum();
        (squares / (self.speeds.len() - 1).max(1) as f64).sqrt()
    }

    pub(super) fn best(&self) -> f64 {
        self.speeds.iter().copied().fold(0.0, f64::max)
    }

    /// Bytes a second at the mean speed.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        self.token_bytes.map(|bytes| bytes as f64 * self.mean())
    }
}

/// What the last step was like.
#[derive(Default)]
struct Step {
    launches: usize,
    submits: usize,
    host: Vec<f64>,
}

/// One sequence and the model that runs it.
pub(super) struct Bench {
    runner: Runner,
    shape: ModelShape,
    weight_bytes: u64,
    /// Tokens of the prompt that are in the cache.
    filled: usize,
    step: Step,
}

impl Bench {
    pub(super) fn new(runner: Runner, weight_bytes: u64) -> Self {
        let shape = runner.shape().clone();
        Self {
            runner,
            shape,
            weight_bytes,
            filled: 0,
            step: Step::default(),
        }
    }

    /// Runs `test` once for warming up and then `repetitions` times.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub(super) async fn run(&mut self, test: &Test, repetitions: usize) -> Result<Row> {
        if self.filled < test.depth {
            self.read(self.filled, test.depth).await?;
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
        self.step.host.clear();
        let mut speeds = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            let took = self.once(test).await?;
            speeds.push(test.tokens as f64 / took.as_secs_f64());
        }
        Ok(Row {
            test: *test,
            speeds,
            launches: self.step.launches,
            submits: self.step.submits,
            host_per_launch: median(&mut self.step.host),
            token_bytes: test
                .generates
                .then(|| self.weight_bytes + self.cache_bytes(test.depth + test.tokens / 2)),
        })
    }

    fn cache_bytes(&self, tokens: usize) -> u64 {
        let kind = self.runner.cache_type();
        let row = kind.row_bytes(self.shape.cache_width) + kind.row_bytes(self.shape.index_width);
        (row * self.shape.layers * (tokens + 1)) as u64
    }

    async fn once(&mut self, test: &Test) -> Result<Duration> {
        let started = Instant::now();
        if test.generates {
            let mut token = self.prompt_token(test.depth);
            for position in test.depth..test.end() {
                token = self.step(position, vec![token]).await?;
            }
        } else {
            self.read(test.depth, test.end()).await?;
        }
        Ok(started.elapsed())
    }

    /// Reads the prompt's tokens from `start` to `end`, in chunks.
    async fn read(&mut self, start: usize, end: usize) -> Result<()> {
        for first in (start..end).step_by(CHUNK) {
            let tokens =
                (first..end.min(first + CHUNK)).map(|position| self.prompt_token(position));
            self.step(first, tokens.collect()).await?;
        }
        Ok(())
    }

    /// A prompt without rhyme or reason.
    fn prompt_token(&self, position: usize) -> u32 {
        ((position * 7919 + 13) % self.shape.vocabulary) as u32
    }

    async fn step(&mut self, start: usize, tokens: Vec<u32>) -> Result<u32> {
        let position = start + tokens.len();
        let blocks = (0..position.div_ceil(BLOCK) as u32).collect();
        let span = Span {
            tokens,
            start,
            blocks,
            outputs: 1,
        };
        let gpu = Rc::clone(self.runner.gpu());
        let recording = self.runner.prepare(&[span], Want::TOKENS);
        let launches = recording.kernels().count();
        let submits = recording.submits();
        let started = Instant::now();
        let pending = recording.submit(&gpu);
        let host = started.elapsed();
        let results = pending.read(&gpu).await?;
        self.step.launches = launches;
        self.step.submits = submits;
        self.step.host.push(host.as_secs_f64() / launches as f64);
        let token = bytemuck::pod_collect_to_vec::<u8, u32>(&results[0])[0];
        if token == NOT_FINITE {
            Err(Error::NonFinite { position })
        } else {
            Ok(token)
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

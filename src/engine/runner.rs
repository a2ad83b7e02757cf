//! A model, its cache, and the recordings of its steps.

use std::rc::Rc;

use super::BLOCK;
use crate::error::{Error, Result};
use crate::gpu::{Cache, CacheType, Gpu, Pass, Pending, Recording, Tensor};
use crate::layers::{Batch, BatchShape, LayerCache, Span};
use crate::models::{Model, ModelShape};
use crate::ops;

/// Recordings kept: a few decode shapes and the prompt chunks used last.
const RECORDINGS: usize = 16;

/// What a step gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// All scores of each output, instead of its best token, which is four bytes.
    pub scores: bool,
    /// Every token's experts.
    pub routes: bool,
}

impl Want {
    /// The best token of each output.
    pub const TOKENS: Self = Self {
        scores: false,
        routes: false,
    };
    /// All scores of each output.
    pub const SCORES: Self = Self {
        scores: true,
        routes: false,
    };
}

/// The outputs of a step, in the order of its spans.
#[derive(Debug)]
pub enum Choices {
    /// The best token of each, [`ops::NOT_FINITE`] where a score is not finite.
    Tokens(Vec<u32>),
    /// `[outputs, vocabulary]`
    Scores(Vec<f32>),
}

/// What a step gave.
#[derive(Debug)]
pub struct StepOutput {
    /// Tokens that ran.
    pub tokens: usize,
    /// Tokens or scores.
    pub choices: Choices,
    /// The experts of each layer that has them, if asked for: `[tokens, slots]`, best first,
    /// then the shared ones.
    pub routes: Vec<Vec<u32>>,
}

/// A step under way.
pub struct Submitted {
    want: Want,
    tokens: usize,
    /// Its best tokens, or its scores.
    first: Tensor,
    pending: Pending,
}

struct Step {
    shape: BatchShape,
    want: Want,
    batch: Batch,
    recording: Recording,
}

/// Runs a model on whatever spans it is given.
pub struct Runner {
    gpu: Rc<Gpu>,
    model: Box<dyn Model>,
    caches: Vec<LayerCache>,
    cache_type: &'static CacheType,
    blocks_per_sequence: usize,
    /// Last used last.
    steps: Vec<Step>,
}

impl Runner {
    /// Tokens of the largest cache of rows of a `kind` that the device can bind.
    pub fn largest_cache(gpu: &Gpu, shape: &ModelShape, kind: &CacheType) -> usize {
        let width = shape.cache_width.max(shape.index_width);
        let tokens = gpu.binding_limit / kind.row_bytes(width) as u64;
        usize::try_from(tokens).unwrap_or(usize::MAX) / BLOCK * BLOCK
    }

    /// Reserves the cache: `blocks` blocks of rows of a `kind` in all, and sequences of up to
    /// `context` tokens.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if a layer's part exceeds a binding, or the device's memory.
    pub async fn new(
        gpu: Rc<Gpu>,
        model: Box<dyn Model>,
        context: usize,
        blocks: usize,
        kind: &'static CacheType,
    ) -> Result<Self> {
        let ModelShape {
            layers,
            cache_width,
            index_width,
            ..
        } = *model.shape();
        let bytes = (blocks * BLOCK * kind.row_bytes(cache_width.max(index_width))) as u64;
        let fits = Self::largest_cache(&gpu, model.shape(), kind);
        if blocks * BLOCK > fits {
            return Err(Error::DoesNotFit(format!(
                "a cache of {} tokens needs {bytes} bytes in each layer, the device allows {}; {fits} tokens fit (--ctx {fits})",
                blocks * BLOCK,
                gpu.binding_limit,
            )));
        }
        let mut caches = Vec::with_capacity(layers);
        for _ in 0..layers {
            let rows = Cache::reserve(&gpu, kind, blocks * BLOCK, cache_width).await?;
            let index = match index_width {
                0 => None,
                width => Some(Cache::reserve(&gpu, kind, blocks * BLOCK, width).await?),
            };
            caches.push(LayerCache { rows, index });
        }
        Ok(Self {
            gpu,
            model,
            caches,
            cache_type: kind,
            blocks_per_sequence: context.div_ceil(BLOCK),
            steps: Vec::new(),
        })
    }

    /// The model's sizes.
    pub fn shape(&self) -> &ModelShape {
        self.model.shape()
    }

    /// How the rows of its cache are stored.
    pub fn cache_type(&self) -> &'static CacheType {
        self.cache_type
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// Runs the spans' tokens through the model and into the cache.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn run(&mut self, spans: &[Span], want: Want) -> Result<StepOutput> {
        let submitted = self.submit(spans, want, None);
        self.read(submitted).await
    }

    /// Submits the spans' tokens. With `after`, a step that chose the best tokens and that need not be
    /// over, the spans' tokens are those: what stands in the spans is not used.
    pub fn submit(&mut self, spans: &[Span], want: Want, after: Option<&Submitted>) -> Submitted {
        let gpu = Rc::clone(&self.gpu);
        let step = self.step(spans, want);
        let feed = after.map(|after| (&after.first, &step.batch.ids));
        Submitted {
            want,
            tokens: step.shape.tokens,
            first: step.recording.results()[0].clone(),
            pending: step.recording.submit_after(&gpu, feed),
        }
    }

    /// What a submitted step gives.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn read(&self, submitted: Submitted) -> Result<StepOutput> {
        let Submitted {
            want,
            tokens,
            pending,
            ..
        } = submitted;
        let mut results = pending.read(&self.gpu).await?.into_iter();
        let first = results.next().expect("every step has outputs");
        let choices = if want.scores {
            Choices::Scores(bytemuck::pod_collect_to_vec(&first))
        } else {
            Choices::Tokens(bytemuck::pod_collect_to_vec(&first))
        };
        Ok(StepOutput {
            tokens,
            choices,
            routes: results
                .map(|bytes| bytemuck::pod_collect_to_vec(&bytes))
                .collect(),
        })
    }

    /// The recording for steps like `spans`, with their tokens uploaded.
    pub fn prepare(&mut self, spans: &[Span], want: Want) -> &Recording {
        &self.step(spans, want).recording
    }

    fn step(&mut self, spans: &[Span], want: Want) -> &Step {
        let shape = Batch::shape_of(spans, self.blocks_per_sequence, BLOCK);
        let known = self
            .steps
            .iter()
            .position(|step| (step.shape, step.want) == (shape, want));
        if let Some(known) = known {
            self.steps[known..].rotate_left(1);
        } else {
            let step = self.record(shape, want);
            if self.steps.len() == RECORDINGS {
                self.steps.remove(0);
            }
            self.steps.push(step);
        }
        let step = self.steps.last().expect("it was put there");
        step.batch
            .write(&self.gpu, spans, &self.model.shape().rotary);
        step
    }

    fn record(&self, shape: BatchShape, want: Want) -> Step {
        let rotary = &self.model.shape().rotary;
        let batch = Batch::new(&self.gpu, shape, rotary.frequencies.len());
        let mut pass = Pass::new(&self.gpu);
        let forward = self.model.forward(&mut pass, &batch, &self.caches);
        let mut results = vec![if want.scores {
            forward.scores
        } else {
            ops::argmax(&mut pass, &forward.scores)
        }];
        if want.routes {
            results.extend(forward.routes.into_iter().map(|routes| routes.choices));
        }
        Step {
            shape,
            want,
            batch,
            recording: pass.finish(results),
        }
    }
}

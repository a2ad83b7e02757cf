//! A model, its cache, and the recordings of its steps.

use std::borrow::Borrow;
use std::rc::Rc;

use super::{BLOCK, Choice, Want};
use crate::error::{Error, Result};
use crate::gpu::{Cache, CacheType, Feed, Gpu, Pass, Pending, Recording, Tensor};
use crate::layers::{Batch, BatchShape, LayerCache, Span};
use crate::models::{Model, ModelShape};
use crate::ops::{self, DRAW_WORDS, Draw, UNKNOWN_ID};

/// Recordings kept: a few decode shapes and the prompt chunks used last.
const RECORDINGS: usize = 16;

/// What a step gave: what was asked for.
#[derive(Debug)]
pub struct StepOutput {
    /// Tokens that ran.
    pub tokens: usize,
    /// The token that was chosen for each output, in the order of the spans: [`ops::NOT_FINITE`] where
    /// a score is not finite.
    pub chosen: Vec<u32>, // [outputs]
    /// A guess of the token after each of them.
    pub guesses: Vec<u32>, // [outputs]
    /// What tokens are chosen by.
    pub scores: Vec<f32>, // [outputs, vocabulary]
    /// The experts of each layer that has them: best first, then the shared ones.
    pub routes: Vec<Vec<u32>>, // [tokens, slots] each
}

/// A step under way.
pub struct Submitted {
    want: Want,
    tokens: usize,
    /// What it chooses, or its scores.
    first: Tensor,
    pending: Pending,
}

/// What the spans of a step do not say.
#[derive(Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// How each output's token is drawn, if any is.
    pub draws: &'a [Draw],
    /// The token after each span, where it is not for the step to choose; for guesses.
    pub next: &'a [Option<u32>],
    /// Tokens that an earlier step chooses: what stands in the spans is not used.
    pub follow: Option<Follow<'a>>,
}

/// Tokens of a step that an earlier one chooses.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// The earlier step, which need not be over.
    pub step: &'a Submitted,
    /// Its output, and the token's number in this step.
    pub tokens: &'a [(usize, usize)],
}

struct Step {
    shape: BatchShape,
    want: Want,
    batch: Batch,
    /// How each output's token is drawn, if any is.
    draws: Option<Tensor>, // [outputs, DRAW_WORDS]
    /// The token after each, if guesses are made.
    next: Option<Tensor>, // [tokens] of u32
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
        let layers = layers + usize::from(model.predicts());
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

    /// Whether it can guess tokens: [`Want::guesses`].
    pub fn predicts(&self) -> bool {
        self.model.predicts()
    }

    /// How the rows of its cache are stored.
    pub fn cache_type(&self) -> &'static CacheType {
        self.cache_type
    }

    /// Tokens that a sequence may have.
    pub fn context(&self) -> usize {
        self.blocks_per_sequence * BLOCK
    }

    /// Drops all recordings: those that follow may take other constants.
    pub fn forget(&mut self) {
        self.steps.clear();
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.gpu
    }

    /// Bytes of a block of the cache, all layers together.
    pub fn block_bytes(&self) -> usize {
        self.block(0).map(|rows| rows.bytes() as usize).sum()
    }

    /// What a block of the cache holds, once the steps before have run.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn read_block(&self, block: u32) -> Result<Vec<u8>> {
        let rows = Pass::new(&self.gpu).finish(self.block(block).collect());
        Ok(rows.submit(&self.gpu).read(&self.gpu).await?.concat())
    }

    /// Overwrites a block of the cache before the next step runs.
    #[track_caller]
    pub fn write_block(&self, block: u32, mut bytes: &[u8]) {
        for rows in self.block(block) {
            let (first, rest) = bytes.split_at(rows.bytes() as usize);
            rows.write(&self.gpu, first);
            bytes = rest;
        }
        assert!(bytes.is_empty(), "more than a block");
    }

    /// The rows of a block in each layer.
    fn block(&self, block: u32) -> impl Iterator<Item = Tensor> {
        let layers = self.caches.iter();
        let caches = layers.flat_map(|layer| std::iter::once(&layer.rows).chain(&layer.index));
        caches.map(move |cache| {
            let [_, words] = cache.rows.dims();
            let start = block as usize * BLOCK * 4 * words;
            cache.rows.view(start, &[BLOCK, words])
        })
    }

    /// Runs the spans' tokens through the model and into the cache.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn run(&mut self, spans: &[Span], want: Want) -> Result<StepOutput> {
        let submitted = self.submit(spans, want, Inputs::default());
        self.read(submitted).await
    }

    /// Submits the spans' tokens.
    #[track_caller]
    pub fn submit<S: Borrow<Span>>(
        &mut self,
        spans: &[S],
        want: Want,
        inputs: Inputs,
    ) -> Submitted {
        let gpu = Rc::clone(&self.gpu);
        let step = self.step(spans, want);
        if let Some(tensor) = &step.draws {
            tensor.write(&gpu, inputs.draws);
        }
        if let Some(tensor) = &step.next {
            tensor.write(&gpu, &next_ids(spans, inputs.next));
        }
        let feeds = inputs
            .follow
            .as_ref()
            .map_or(Vec::new(), |follow| follow.feeds(&step.batch.ids));
        Submitted {
            want,
            tokens: step.shape.tokens,
            first: step.recording.results()[0].clone(),
            pending: step.recording.submit_fed(&gpu, &feeds),
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
        let mut next = |is_wanted: bool| {
            let result = is_wanted.then(|| results.next());
            result.flatten().unwrap_or_default()
        };
        Ok(StepOutput {
            tokens,
            chosen: bytemuck::pod_collect_to_vec(&next(want.choice != Choice::None)),
            guesses: bytemuck::pod_collect_to_vec(&next(want.guesses)),
            scores: bytemuck::pod_collect_to_vec(&next(want.scores)),
            routes: results
                .map(|bytes| bytemuck::pod_collect_to_vec(&bytes))
                .collect(),
        })
    }

    /// The recording for steps like `spans`, with their tokens uploaded.
    pub fn prepare(&mut self, spans: &[Span], want: Want) -> &Recording {
        &self.step(spans, want).recording
    }

    fn step<S: Borrow<Span>>(&mut self, spans: &[S], want: Want) -> &Step {
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
        let draws = (want.choice == Choice::Drawn)
            .then(|| Tensor::new(&self.gpu, &[shape.outputs, DRAW_WORDS]));
        let chosen = match (&draws, want.choice) {
            (Some(draws), _) => Some(ops::draw(&mut pass, &forward.scores, draws)),
            (None, Choice::None) => None,
            (None, _) => Some(ops::argmax(&mut pass, &forward.scores)),
        };
        let next = want
            .guesses
            .then(|| Tensor::new(&self.gpu, &[shape.tokens]));
        let guesses = next.as_ref().map(|next| {
            let chosen = chosen.as_ref().expect("guesses follow chosen tokens");
            ops::fill_ids(&mut pass, next, &batch.outputs, chosen);
            let cache = self.caches.last().expect("a cache of the predictor");
            let states = &forward.states;
            let scores = self.model.guess(&mut pass, &batch, cache, states, next);
            ops::argmax(&mut pass, &scores)
        });
        let mut results: Vec<_> = chosen.into_iter().chain(guesses).collect();
        if want.scores {
            results.push(forward.scores);
        }
        if want.routes {
            results.extend(forward.routes.into_iter().map(|routes| routes.choices));
        }
        Step {
            shape,
            want,
            batch,
            draws,
            next,
            recording: pass.finish(results),
        }
    }
}

/// The token after each of the spans' tokens, as far as it is known: `next` has those after the spans.
fn next_ids<S: Borrow<Span>>(spans: &[S], next: &[Option<u32>]) -> Vec<u32> {
    let mut ids = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let span = span.borrow();
        // After an output comes what it chooses, whatever was guessed.
        let unknown = span.outputs.max(1);
        ids.extend_from_slice(&span.tokens[1..=span.tokens.len() - unknown]);
        ids.resize(ids.len() + unknown, UNKNOWN_ID);
        if let (Some(id), Some(last)) = (next.get(index).copied().flatten(), ids.last_mut()) {
            *last = id;
        }
    }
    ids
}

impl Follow<'_> {
    /// The copies to a step's `ids`; neighbours go together.
    fn feeds<'a>(&'a self, ids: &'a Tensor) -> Vec<Feed<'a>> {
        let mut feeds: Vec<Feed> = Vec::new();
        for &(first, place) in self.tokens {
            match feeds.last_mut() {
                Some(feed)
                    if (feed.first + feed.count, feed.place + feed.count) == (first, place) =>
                {
                    feed.count += 1;
                }
                _ => feeds.push(Feed {
                    from: &self.step.first,
                    first,
                    to: ids,
                    place,
                    count: 1,
                }),
            }
        }
        feeds
    }
}

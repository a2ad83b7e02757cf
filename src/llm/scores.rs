//! The raw scores of given tokens, for comparing with other implementations.
//!
//! Needs no tokenizer: config.json and the weights are enough.

use super::load_model;
use crate::checkpoint::Checkpoint;
use crate::engine::{BLOCK, Runner, Want};
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::gpu::{AdapterReport, CacheType, DeviceOptions};
use crate::layers::Span;
use crate::models::{ModelShape, Progress, WeightOptions, architecture};
use crate::selftest::Proven;

/// Tokens of a chunk unless asked otherwise.
const CHUNK: usize = 256;
/// The longest chunk that every device's launches have room for.
const LONGEST_CHUNK: usize = 4096;

/// How tokens are scored.
#[derive(Clone, Debug, Default)]
pub struct ScoreOptions {
    /// Which device, with which of its features.
    pub device: DeviceOptions,
    /// What projections are packed into on loading; as stored if `None`.
    pub quantize: Option<&'static Format>,
    /// How the cache stores what attention keeps of a token.
    pub cache_type: &'static CacheType,
    /// Tokens that go through the model at a time; 256, or what the device has room for, if `None`.
    pub chunk: Option<usize>,
    /// Whether the tokens' experts are wanted, too.
    pub routes: bool,
}

/// What all tokens gave.
#[derive(Clone, Debug)]
pub struct Scores {
    /// The adapter that computed it.
    pub adapter: AdapterReport,
    /// A sentence for each feature of the device that is not used because it does not work.
    pub disabled: Vec<String>,
    /// Scores of a token.
    pub vocabulary: usize,
    /// `[tokens, vocabulary]`
    pub logits: Vec<f32>,
    /// `[tokens, slots]` for each layer with experts, if asked for: best first, then the shared ones.
    pub routes: Vec<Vec<u32>>,
}

/// A model that gives the scores after every token of a sequence.
pub struct Scorer {
    runner: Runner,
    disabled: Vec<String>,
    context: usize,
    chunk: usize,
    routes: bool,
}

impl Scorer {
    /// Loads `checkpoint`'s weights for sequences of up to `context` tokens.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] for a chunk that the device has no room for; else as [`load_model`].
    pub async fn load(
        checkpoint: &Checkpoint,
        context: usize,
        options: &ScoreOptions,
        progress: &dyn Fn(Progress),
    ) -> Result<Self> {
        let (device, kind) = (&options.device, options.cache_type);
        let weights = WeightOptions {
            quantize: options.quantize,
            prediction: false,
        };
        let (Proven { gpu, disabled }, model) =
            load_model(checkpoint, device, weights, kind, progress).await?;
        let chunk = chunk(options.chunk, gpu.binding_limit, model.shape().vocabulary)?;
        let blocks = context.div_ceil(BLOCK);
        Ok(Self {
            runner: Runner::new(gpu, model, context, blocks, options.cache_type).await?,
            disabled,
            context,
            chunk,
            routes: options.routes,
        })
    }

    /// The adapter that computes.
    pub fn adapter(&self) -> &AdapterReport {
        self.runner.gpu().adapter()
    }

    /// A sentence for each feature of the device that is not used because it does not work.
    pub fn disabled(&self) -> &[String] {
        &self.disabled
    }

    /// Runs `tokens` as one sequence, a chunk at a time: `take` has the scores of each,
    /// `[tokens, vocabulary]`, and its experts if they are wanted.
    ///
    /// # Errors
    /// Whatever the device reports, and the errors of `take`.
    pub async fn run(
        &mut self,
        tokens: &[u32],
        mut take: impl AsyncFnMut(Vec<f32>, Vec<Vec<u32>>) -> Result<()>,
    ) -> Result<()> {
        let want = Want {
            routes: self.routes,
            ..Want::SCORES
        };
        for (index, part) in tokens.chunks(self.chunk).enumerate() {
            let span = Span {
                tokens: part.to_vec(),
                start: index * self.chunk,
                blocks: (0..self.context.div_ceil(BLOCK) as u32).collect(),
                outputs: part.len(),
            };
            let output = self.runner.run(&[span], want).await?;
            take(output.scores, output.routes).await?;
        }
        Ok(())
    }
}

/// Loads `checkpoint`'s weights and runs `tokens` through them as one sequence.
///
/// # Errors
/// [`Error::Usage`] for tokens that the model does not know or that are too many; else as [`Scorer::load`].
pub async fn score(
    checkpoint: &Checkpoint,
    tokens: &[u32],
    options: &ScoreOptions,
    progress: &dyn Fn(Progress),
) -> Result<Scores> {
    let shape = (architecture(checkpoint)?.shape)(checkpoint)?;
    check(tokens, &shape)?;
    let mut scorer = Scorer::load(checkpoint, tokens.len(), options, progress).await?;
    let mut scores = Scores {
        adapter: scorer.adapter().clone(),
        disabled: scorer.disabled().to_vec(),
        vocabulary: shape.vocabulary,
        logits: Vec::new(),
        routes: Vec::new(),
    };
    let take = async |logits: Vec<f32>, routes: Vec<Vec<u32>>| {
        scores.logits.extend(logits);
        scores.routes.resize(routes.len(), Vec::new());
        for (all, routes) in scores.routes.iter_mut().zip(routes) {
            all.extend(routes);
        }
        Ok(())
    };
    scorer.run(tokens, take).await?;
    Ok(scores)
}

fn check(tokens: &[u32], shape: &ModelShape) -> Result<()> {
    let ModelShape {
        vocabulary,
        context,
        ..
    } = *shape;
    if tokens.is_empty() {
        return Err(Error::Usage("there are no tokens to score".into()));
    }
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        return Err(Error::Usage(format!(
            "token {token} is not below the vocabulary of {vocabulary}"
        )));
    }
    if tokens.len() > context {
        let count = tokens.len();
        return Err(Error::Usage(format!(
            "the tokens are too many: {count} are more than the model's context of {context}"
        )));
    }
    Ok(())
}

/// Tokens of a chunk: as asked, if the device can bind the scores of so many.
fn chunk(asked: Option<usize>, binding_limit: u64, vocabulary: usize) -> Result<usize> {
    let most = (binding_limit / (4 * vocabulary as u64)).clamp(1, LONGEST_CHUNK as u64) as usize;
    match asked {
        None => Ok(CHUNK.min(most)),
        Some(chunk) if chunk > most => Err(Error::DoesNotFit(format!(
            "the device has room for chunks of at most {most} tokens (--chunk {most})"
        ))),
        Some(chunk) => Ok(chunk),
    }
}

//! What a model takes of a device's memory, before it is loaded.
//!
//! Nothing is estimated: the loader, the engine and the model's forward do what they always do, on a device
//! that only counts.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{LoadOptions, STEP_TOKENS, limits};
use crate::checkpoint::Checkpoint;
use crate::engine::{BLOCK, Limits, Runner, Want};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::gpu::{AdapterReport, Gpu};
use crate::layers::Span;
use crate::models::{Loader, Model, WeightOptions, architecture};

/// What a loaded model takes of a device's memory, in bytes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The device.
    pub adapter: AdapterReport,
    /// Matrices, by the name of their format.
    pub weights: BTreeMap<&'static str, u64>,
    /// Gains, biases and parameters.
    pub vectors: u64,
    /// Tokens of a sequence.
    pub context: usize,
    /// What each token takes in the cache.
    pub cache_per_token: u64,
    /// The cache of all sequences.
    pub cache: u64,
    /// Results of launches, what steps are fed, and what the host reads.
    pub scratch: u64,
    /// The longest sequence that the model allows and the device's bindings hold.
    pub longest: usize,
    /// Whether the device can bind the cache at all.
    pub is_bindable: bool,
    sequences: usize,
}

impl Plan {
    /// Counts what `checkpoint` takes when it is loaded with `options` and has read a long prompt.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] without the device, [`Error::DoesNotFit`]
    /// for a matrix that it cannot bind, and those of checking the checkpoint.
    pub async fn of(checkpoint: &Checkpoint, options: &LoadOptions) -> Result<Self> {
        let gpu = Gpu::counting(Some(&options.device)).await?;
        let shape = (architecture(checkpoint)?.shape)(checkpoint)?;
        let Limits {
            context, sequences, ..
        } = limits(&shape, options)?;
        let model = count(&gpu, checkpoint, options.weights()).await?;
        let loaded = gpu.memory();
        let bindable = Runner::largest_cache(&gpu, model.shape(), options.cache_type);
        let longest = bindable / sequences / BLOCK * BLOCK;
        // A cache that is too large for a binding is counted by one that is not: both grow alike.
        let counted = context.min(longest).max(1);
        let blocks = counted.div_ceil(BLOCK) * sequences;
        let mut runner =
            Runner::new(Rc::clone(&gpu), model, counted, blocks, options.cache_type).await?;
        let cache = gpu.memory().tensors - loaded.tensors;
        let cache_per_token = cache / (blocks * BLOCK) as u64;
        record(&mut runner, sequences, counted);
        let used = gpu.memory();
        Ok(Self {
            adapter: gpu.adapter().clone(),
            vectors: loaded.tensors + loaded.params,
            weights: loaded.weights,
            context,
            cache_per_token,
            cache: cache_per_token * (context.div_ceil(BLOCK) * BLOCK * sequences) as u64,
            scratch: used.total() - sum(&used.weights) - loaded.tensors - loaded.params - cache,
            longest: longest.min(shape.context),
            is_bindable: context <= longest,
            sequences,
        })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.fixed() + self.cache
    }

    /// What does not depend on the context.
    fn fixed(&self) -> u64 {
        sum(&self.weights) + self.vectors + self.scratch
    }

    /// The longest sequence for which `memory` bytes do; all that is possible if that is not known.
    pub fn largest_context(&self, memory: Option<u64>) -> usize {
        let Some(memory) = memory else {
            return self.longest;
        };
        let each = self.cache_per_token * self.sequences as u64;
        let tokens = memory.saturating_sub(self.fixed()) / each.max(1);
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        (tokens / BLOCK * BLOCK).min(self.longest)
    }

    /// Whether it fits `memory` bytes and the device's bindings.
    pub fn fits(&self, memory: Option<u64>) -> bool {
        self.is_bindable && memory.is_none_or(|memory| self.total() <= memory)
    }
}

fn sum(weights: &BTreeMap<&'static str, u64>) -> u64 {
    weights.values().sum()
}

/// Bytes that `checkpoint`'s weights take on a device, whichever it is.
///
/// # Errors
/// Those of checking the checkpoint.
pub async fn weight_bytes(checkpoint: &Checkpoint, weights: WeightOptions) -> Result<u64> {
    let gpu = Gpu::counting(None).await?;
    let _model = count(&gpu, checkpoint, weights).await?;
    Ok(gpu.memory().total())
}

/// `checkpoint`'s model on a device that only counts.
pub(super) async fn count(
    gpu: &Gpu,
    checkpoint: &Checkpoint,
    weights: WeightOptions,
) -> Result<Box<dyn Model>> {
    let loader = Loader::new(gpu, checkpoint, weights, &|_| ());
    (architecture(checkpoint)?.load)(&loader).await
}

/// Records what an answer to a long prompt takes: a whole chunk of it, a shorter one, the few tokens that are left
/// where the cache has the rest; then tokens, both the best and drawn ones. Where the model predicts, prompts and
/// tokens with their guesses, and tokens alone.
pub(super) fn record(runner: &mut Runner, sequences: usize, context: usize) {
    let gpu = Rc::clone(runner.gpu());
    let guesses = runner.predicts();
    let span = |tokens: usize, outputs| Span {
        tokens: vec![0; tokens],
        start: 0,
        blocks: (0..context.div_ceil(BLOCK) as u32).collect(),
        outputs,
    };
    let chunk = STEP_TOKENS.min(context);
    let prompt = Want {
        guesses,
        ..Want::TOKENS
    };
    let prompts = [chunk, chunk.div_ceil(2), chunk.min(BLOCK / 2)];
    let mut steps = prompts.map(|tokens| (span(tokens, 1), 1, prompt)).to_vec();
    if guesses {
        steps.push((span(1, 1), sequences, prompt));
    }
    for want in [Want::TOKENS, Want::DRAWN] {
        steps.push((span(1, 1), sequences, want));
        if guesses {
            steps.push((span(2, 2), sequences, Want { guesses, ..want }));
        }
    }
    for (span, count, want) in steps {
        let spans = vec![span; count];
        runner.prepare(&spans, want).reserve(&gpu);
    }
}

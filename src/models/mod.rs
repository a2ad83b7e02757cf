//! Architectures: their configurations, their weights and their forwards.
//!
//! A model records launches; it never waits, reads back or knows what a sequence is.

mod config;
mod decoder;
mod deepseek;
mod deepseek_attention;
mod deepseek_config;
mod dense;
mod dense_config;
mod loader;
mod predictor;

use futures::future::LocalBoxFuture;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::gpu::{Pass, Tensor};
use crate::layers::{Batch, LayerCache, Rotary};
use crate::ops::Routes;

pub use loader::{Loader, Progress, WeightOptions};

/// What an engine must know of a model.
#[derive(Clone, Debug)]
pub struct ModelShape {
    /// Token ids are below this.
    pub vocabulary: usize,
    /// Layers that answer, each with a cache.
    pub layers: usize,
    /// Values that a layer caches of a token.
    pub cache_width: usize,
    /// Values that a layer caches of a token besides, to choose keys by; 0 where tokens attend to all.
    pub index_width: usize,
    /// Tokens that a sequence may have.
    pub context: usize,
    /// Angles of positions.
    pub rotary: Rotary,
}

/// The tensors that a forward ends in.
pub struct Forward {
    /// A score per token of the vocabulary, for each output of the batch.
    pub scores: Tensor, // [outputs, vocabulary]
    /// What the layers made of every token.
    pub states: Tensor, // [tokens, hidden]
    /// The experts of every token, for each layer that has experts.
    pub routes: Vec<Routes>,
}

/// A loaded model.
pub trait Model {
    /// Its sizes.
    fn shape(&self) -> &ModelShape;

    /// Bytes of matrices that a step of one token reads: all but those of experts it does not
    /// go to, and one row of the table of embeddings.
    fn token_bytes(&self) -> u64;

    /// Records one step: the batch's tokens into the cache, and their scores.
    fn forward(&self, pass: &mut Pass, batch: &Batch, caches: &[LayerCache]) -> Forward;

    /// Whether what guesses one token more was loaded: it has a cache of its own, behind the layers'.
    fn predicts(&self) -> bool;

    /// Records the guesses of a step, of which `states` is what [`Model::forward`] gave and `next` the token
    /// after each: scores of the token after that, for each output of the batch.
    ///
    /// `states: [tokens, hidden]`, `next: [tokens]` of u32 → `[outputs, vocabulary]`
    fn guess(
        &self,
        pass: &mut Pass,
        batch: &Batch,
        cache: &LayerCache,
        states: &Tensor,
        next: &Tensor,
    ) -> Tensor;
}

/// Reads an architecture's weights.
pub type Load = for<'a> fn(&'a Loader<'a>) -> LocalBoxFuture<'a, Result<Box<dyn Model>>>;

/// How an architecture is loaded.
pub struct Architecture {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// Reads the sizes, from config.json alone.
    pub shape: fn(&Checkpoint) -> Result<ModelShape>,
    /// Reads the weights.
    pub load: Load,
}

/// Every architecture.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        model_type: "deepseek_v3",
        shape: deepseek::shape,
        load: deepseek::load,
    },
    Architecture {
        model_type: "deepseek_v32",
        shape: deepseek::shape,
        load: deepseek::load,
    },
    Architecture {
        model_type: "deepseek_v2",
        shape: deepseek::shape,
        load: deepseek::load,
    },
    Architecture {
        model_type: "qwen2",
        shape: dense::shape,
        load: dense::load,
    },
    Architecture {
        model_type: "qwen3",
        shape: dense::shape,
        load: dense::load,
    },
    Architecture {
        model_type: "llama",
        shape: dense::shape,
        load: dense::load,
    },
];

/// The architecture that a checkpoint asks for.
///
/// # Errors
/// [`Error::Unsupported`] with what there is, for any other.
pub fn architecture(checkpoint: &Checkpoint) -> Result<&'static Architecture> {
    let fields = checkpoint.fields()?;
    let wanted = fields.str("model_type")?;
    let found = ARCHITECTURES
        .iter()
        .find(|architecture| architecture.model_type == wanted);
    found.ok_or_else(|| {
        let known: Vec<_> = ARCHITECTURES
            .iter()
            .map(|architecture| architecture.model_type)
            .collect();
        Error::unsupported(
            fields.file.clone(),
            format!(
                "model_type {wanted:?} is not supported; there is {}",
                known.join(", ")
            ),
        )
    })
}

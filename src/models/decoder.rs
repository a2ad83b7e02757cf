//! What all architectures have in common: pre-norm layers of attention and feed-forward around a residual stream.

use super::loader::Loader;
use super::predictor::Predictor;
use super::{Forward, Model, ModelShape};
use crate::checkpoint::Scope;
use crate::error::{Error, Result};
use crate::gpu::{Pass, Tensor, Weight};
use crate::layers::{
    Batch, GroupedQueryAttention, LatentAttention, LayerCache, MixtureOfExperts, Mlp, RmsNorm,
};
use crate::ops::{self, Input, Routes};

/// A model made of decoder layers.
struct Decoder {
    shape: ModelShape,
    embed_tokens: Weight, // [vocabulary, hidden]
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// `None` where it is the table of embeddings.
    lm_head: Option<Weight>, // [vocabulary, hidden]
    predictor: Option<Predictor>,
}

/// What a configuration says of everything but attention and feed-forward.
pub(super) struct Outline {
    pub(super) shape: ModelShape,
    pub(super) hidden: usize,
    pub(super) epsilon: f64,
    /// Whether the table of embeddings makes the scores, too.
    pub(super) tied: bool,
}

/// Reads a model, whose attention and feed-forward of each layer `parts` reads from the layer's scope.
pub(super) async fn load<'a>(
    loader: &'a Loader<'a>,
    outline: Outline,
    parts: impl AsyncFn(&Scope<'a>, usize) -> Result<(Attention, FeedForward)>,
) -> Result<Box<dyn Model>> {
    let Outline {
        shape,
        hidden,
        epsilon,
        tied,
    } = outline;
    let root = loader.checkpoint.root();
    let model = root.enter("model");
    let layer = async |layer| {
        let scope = model.enter("layers").enter(layer);
        let norm = async |name| loader.norm(&scope, name, hidden, epsilon).await;
        let (attention, feed_forward) = parts(&scope, layer).await?;
        Ok::<_, Error>(DecoderLayer {
            input_norm: norm("input_layernorm").await?,
            attention,
            post_attention_norm: norm("post_attention_layernorm").await?,
            feed_forward,
        })
    };
    let mut layers = Vec::new();
    for index in 0..shape.layers {
        layers.push(layer(index).await?);
    }
    let behind = model.enter("layers").enter(shape.layers);
    let predictor = if loader.prediction && Predictor::is_in(&behind) {
        let layer = layer(shape.layers).await?;
        Some(Predictor::load(loader, &behind, layer, hidden, epsilon).await?)
    } else {
        None
    };
    let table = [shape.vocabulary, hidden];
    Ok(Box::new(Decoder {
        shape,
        embed_tokens: loader.linear(&model, "embed_tokens", table).await?.weight,
        layers,
        norm: loader.norm(&model, "norm", hidden, epsilon).await?,
        lm_head: if tied {
            None
        } else {
            Some(loader.linear(&root, "lm_head", table).await?.weight)
        },
        predictor,
    }))
}

impl Decoder {
    /// The matrix that makes scores.
    fn head(&self) -> &Weight {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// The scores of a batch's outputs.
    ///
    /// `x: [tokens, hidden]` → `[outputs, vocabulary]`
    fn scores(&self, pass: &mut Pass, batch: &Batch, x: &Tensor, norm: &RmsNorm) -> Tensor {
        // Where every token is an output, they are in order already.
        let outputs = if batch.shape.outputs == batch.shape.tokens {
            x.clone()
        } else {
            ops::gather(pass, x, &batch.outputs)
        }; // [outputs, hidden]
        let normed = norm.forward(pass, &outputs);
        ops::matmul(pass, &normed, self.head())
    }
}

/// One layer.
pub(super) struct DecoderLayer {
    input_norm: RmsNorm,
    attention: Attention,
    post_attention_norm: RmsNorm,
    feed_forward: FeedForward,
}

impl DecoderLayer {
    /// Adds what the layer says to the residual stream; the experts it asks, if it has some.
    ///
    /// `x: [tokens, hidden]`
    pub(super) fn forward(
        &self,
        pass: &mut Pass,
        batch: &Batch,
        cache: &LayerCache,
        x: &Tensor,
    ) -> Option<Routes> {
        let normed = self.input_norm.forward(pass, x);
        self.attention.forward(pass, &normed, batch, cache, x);
        let normed = self.post_attention_norm.forward(pass, x);
        self.feed_forward.forward(pass, &normed, x)
    }
}

/// How a layer's tokens look at each other.
pub(super) enum Attention {
    /// DeepSeek-V2 and V3.
    Latent(LatentAttention),
    /// Qwen and Llama.
    Grouped(GroupedQueryAttention),
}

/// What a layer does with each token.
pub(super) enum FeedForward {
    /// One network.
    Dense(Mlp),
    /// A few of many.
    Mixture(MixtureOfExperts),
}

impl Attention {
    /// `x, residual: [tokens, hidden]`
    fn forward(
        &self,
        pass: &mut Pass,
        x: &Input,
        batch: &Batch,
        cache: &LayerCache,
        residual: &Tensor,
    ) {
        match self {
            Self::Latent(attention) => attention.forward(pass, x, batch, cache, residual),
            Self::Grouped(attention) => attention.forward(pass, x, batch, cache, residual),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Latent(attention) => attention.bytes(),
            Self::Grouped(attention) => attention.bytes(),
        }
    }
}

impl FeedForward {
    /// `x, residual: [tokens, hidden]`
    fn forward(&self, pass: &mut Pass, x: &Input, residual: &Tensor) -> Option<Routes> {
        match self {
            Self::Dense(mlp) => {
                mlp.forward(pass, x, residual);
                None
            }
            Self::Mixture(experts) => Some(experts.forward(pass, x, residual)),
        }
    }

    /// Bytes of weights that a step of one token reads.
    fn token_bytes(&self) -> u64 {
        match self {
            Self::Dense(mlp) => mlp.bytes(),
            Self::Mixture(experts) => experts.token_bytes(),
        }
    }
}

impl Model for Decoder {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn token_bytes(&self) -> u64 {
        let layer =
            |layer: &DecoderLayer| layer.attention.bytes() + layer.feed_forward.token_bytes();
        let embedding = self.embed_tokens.bytes() / self.embed_tokens.rows as u64;
        self.layers.iter().map(layer).sum::<u64>() + embedding + self.head().bytes()
    }

    fn forward(&self, pass: &mut Pass, batch: &Batch, caches: &[LayerCache]) -> Forward {
        // The residual stream, which every layer adds to.
        let states = ops::embedding(pass, &batch.ids, &self.embed_tokens); // [tokens, hidden]
        let layers = self.layers.iter().zip(caches);
        let routes = layers.map(|(layer, cache)| layer.forward(pass, batch, cache, &states));
        Forward {
            routes: routes.flatten().collect(),
            scores: self.scores(pass, batch, &states, &self.norm),
            states,
        }
    }

    fn predicts(&self) -> bool {
        self.predictor.is_some()
    }

    fn guess(
        &self,
        pass: &mut Pass,
        batch: &Batch,
        cache: &LayerCache,
        states: &Tensor,
        next: &Tensor,
    ) -> Tensor {
        let predictor = self.predictor.as_ref().expect("it was loaded");
        let states = self.norm.forward(pass, states).rows(pass);
        let next = ops::embedding(pass, next, &self.embed_tokens); // [tokens, hidden]
        let x = predictor.forward(pass, batch, cache, &states, &next);
        self.scores(pass, batch, &x, &predictor.norm)
    }
}

//! What all architectures have in common: pre-norm layers of attention and feed-forward around a residual stream.

use super::loader::Loader;
use super::{Forward, Model, ModelShape};
use crate::checkpoint::Scope;
use crate::error::Result;
use crate::gpu::{Pass, Tensor, Weight};
use crate::layers::{
    Batch, GroupedQueryAttention, LatentAttention, LayerCache, MixtureOfExperts, Mlp, RmsNorm,
};
use crate::ops::{self, Routes};

/// A model made of decoder layers.
struct Decoder {
    shape: ModelShape,
    embed_tokens: Weight, // [vocabulary, hidden]
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// `None` where it is the table of embeddings.
    lm_head: Option<Weight>, // [vocabulary, hidden]
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
    let mut layers = Vec::new();
    for layer in 0..shape.layers {
        let scope = model.enter("layers").enter(layer);
        let norm = async |name| loader.norm(&scope, name, hidden, epsilon).await;
        let (attention, feed_forward) = parts(&scope, layer).await?;
        layers.push(DecoderLayer {
            input_norm: norm("input_layernorm").await?,
            attention,
            post_attention_norm: norm("post_attention_layernorm").await?,
            feed_forward,
        });
    }
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
    }))
}

impl Decoder {
    /// The matrix that makes scores.
    fn head(&self) -> &Weight {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }
}

/// One layer.
struct DecoderLayer {
    input_norm: RmsNorm,
    attention: Attention,
    post_attention_norm: RmsNorm,
    feed_forward: FeedForward,
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
    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    fn forward(&self, pass: &mut Pass, x: &Tensor, batch: &Batch, cache: &LayerCache) -> Tensor {
        match self {
            Self::Latent(attention) => attention.forward(pass, x, batch, cache),
            Self::Grouped(attention) => attention.forward(pass, x, batch, cache),
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
    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    fn forward(&self, pass: &mut Pass, x: &Tensor, routes: &mut Vec<Routes>) -> Tensor {
        match self {
            Self::Dense(mlp) => mlp.forward(pass, x),
            Self::Mixture(experts) => {
                let (y, chosen) = experts.forward(pass, x);
                routes.push(chosen);
                y
            }
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
        let mut routes = Vec::new();
        let mut x = ops::embedding(pass, &batch.ids, &self.embed_tokens); // [tokens, hidden]
        let mut normed = self.layers[0].input_norm.forward(pass, &x);
        // Adding to the residual stream and normalising it is one launch, so each layer ends in the norm
        // that the next one starts with.
        let next_norms = self
            .layers
            .iter()
            .skip(1)
            .map(|layer| &layer.input_norm)
            .chain([&self.norm]);
        for ((layer, cache), next_norm) in self.layers.iter().zip(caches).zip(next_norms) {
            let attended = layer.attention.forward(pass, &normed, batch, cache); // [tokens, hidden]
            (x, normed) = layer.post_attention_norm.add_forward(pass, &x, &attended);
            let fed = layer.feed_forward.forward(pass, &normed, &mut routes); // [tokens, hidden]
            (x, normed) = next_norm.add_forward(pass, &x, &fed);
        }
        // Where every token is an output, they are in order already.
        if batch.shape.outputs != batch.shape.tokens {
            normed = ops::gather(pass, &normed, &batch.outputs); // [outputs, hidden]
        }
        Forward {
            scores: ops::matmul(pass, &normed, self.head()),
            routes,
        }
    }
}

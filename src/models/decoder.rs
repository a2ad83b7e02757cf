//! What all architectures have in common: pre-norm layers of attention and feed-forward around a residual stream.

use super::{Forward, Model, ModelShape};
use crate::gpu::{Pass, Tensor, Weight};
use crate::layers::{Batch, LatentAttention, LayerCache, Linear, MixtureOfExperts, Mlp, RmsNorm};
use crate::ops::{self, Routes};

/// A model made of decoder layers.
pub(super) struct Decoder {
    pub(super) shape: ModelShape,
    pub(super) embed_tokens: Weight, // [vocabulary, hidden]
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) norm: RmsNorm,
    /// `None` where it is the table of embeddings.
    pub(super) lm_head: Option<Linear>, // [vocabulary, hidden]
}

/// One layer.
pub(super) struct DecoderLayer {
    pub(super) input_norm: RmsNorm,
    pub(super) attention: Attention,
    pub(super) post_attention_norm: RmsNorm,
    pub(super) feed_forward: FeedForward,
}

/// How a layer's tokens look at each other.
pub(super) enum Attention {
    /// DeepSeek-V2 and V3.
    Latent(LatentAttention),
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
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Latent(attention) => attention.bytes(),
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

impl Decoder {
    /// The matrix that makes scores.
    fn head(&self) -> &Weight {
        let tied = &self.embed_tokens;
        self.lm_head.as_ref().map_or(tied, |head| &head.weight)
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

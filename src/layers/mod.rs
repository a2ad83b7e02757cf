//! Weights with a forward: what models are made of.
//!
//! Nothing here reads files or knows an architecture.

mod batch;
mod grouped_query_attention;
mod indexer;
mod latent_attention;
mod mixture_of_experts;
mod mlp;
mod rotary;

pub use batch::{Batch, BatchShape, LayerCache, Span};
pub use grouped_query_attention::GroupedQueryAttention;
pub use indexer::Indexer;
pub use latent_attention::{LatentAttention, QueryProjection};
pub use mixture_of_experts::MixtureOfExperts;
pub use mlp::Mlp;
pub use rotary::{Llama3, Rotary, Scaling, Yarn};

use crate::gpu::{Pass, Tensor, Weight};
use crate::ops::{self, Columns};

/// A matrix that activations are multiplied with.
pub struct Linear {
    /// One row per output.
    pub weight: Weight, // [outer, inner]
}

impl Linear {
    /// `x: [tokens, inner]` → `[tokens, outer]`
    pub fn forward(&self, pass: &mut Pass, x: &Tensor) -> Tensor {
        ops::matmul(pass, x, &self.weight)
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.weight.bytes()
    }
}

/// Root mean square normalisation with a gain.
pub struct RmsNorm {
    /// A factor per column.
    pub gain: Tensor, // [width]
    /// What is added to the mean square.
    pub epsilon: f32,
}

impl RmsNorm {
    /// `x: [tokens, width]` → `[tokens, width]`
    pub fn forward(&self, pass: &mut Pass, x: &Tensor) -> Tensor {
        self.forward_columns(pass, x, 0)
    }

    /// The columns of `x` from `offset` on.
    ///
    /// `x: [tokens, wider]` → `[tokens, width]`
    pub fn forward_columns(&self, pass: &mut Pass, x: &Tensor, offset: usize) -> Tensor {
        let [width] = self.gain.dims();
        ops::rms_norm(pass, x, Columns { offset, width }, &self.gain, self.epsilon)
    }

    /// The residual stream after `update`, and that sum normalised.
    ///
    /// `x, update: [tokens, width]` → `[tokens, width]` twice
    pub fn add_forward(&self, pass: &mut Pass, x: &Tensor, update: &Tensor) -> (Tensor, Tensor) {
        ops::add_rms_norm(pass, x, update, &self.gain, self.epsilon)
    }
}

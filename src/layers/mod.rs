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
use crate::ops::{self, Columns, Input, Norm};

/// A matrix that activations are multiplied with.
pub struct Linear {
    /// One row per output.
    pub weight: Weight, // [outer, inner]
}

impl Linear {
    /// `x: [tokens, inner]` → `[tokens, outer]`
    pub fn forward(&self, pass: &mut Pass, x: impl Into<Input>) -> Tensor {
        ops::matmul(pass, x, &self.weight)
    }

    /// Adds what [`Linear::forward`] gives to `sum`.
    ///
    /// `x: [tokens, inner]`, `sum: [tokens, outer]`
    pub fn add_forward(&self, pass: &mut Pass, x: impl Into<Input>, sum: &Tensor) {
        ops::add_matmul(pass, x, &self.weight, sum);
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
    /// The first columns of `x`, normalised: by a launch, or for few tokens by whatever reads them, before `x` is
    /// written again.
    ///
    /// `x: [tokens, width or more]` → `[tokens, width]`
    pub fn forward(&self, pass: &mut Pass, x: &Tensor) -> Input {
        let ([tokens, columns], [width]) = (x.dims(), self.gain.dims());
        let (gain, epsilon) = (&self.gain, self.epsilon);
        // Readers want rows without anything in between.
        let is_dense = tokens == 1 || columns == width;
        if !is_dense || tokens > Input::few(pass.gpu.tiers, width) {
            let columns = Columns { offset: 0, width };
            return Input::from(&ops::rms_norm(pass, x, columns, gain, epsilon));
        }
        let gain = gain.clone();
        Input {
            x: x.view(0, &[tokens, width]),
            norm: Some(Norm { gain, epsilon }),
        }
    }
}

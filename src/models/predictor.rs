//! Multi-token prediction (DeepSeek-V3, arXiv 2412.19437, section 2.2): one layer more, which guesses the token after the
//! next.

use super::decoder::DecoderLayer;
use super::loader::{Loader, Rows};
use crate::checkpoint::Scope;
use crate::error::Result;
use crate::gpu::{Pass, Tensor};
use crate::layers::{Batch, LayerCache, Linear, RmsNorm};

/// The layer with what goes in and out of it. Embeddings and head are the model's own, of which checkpoints have
/// copies.
pub(super) struct Predictor {
    embedding_norm: RmsNorm,
    state_norm: RmsNorm,
    /// The two halves of the checkpoint's `eh_proj`, which joins an embedding and a state.
    embedding_proj: Linear, // [hidden, hidden]
    state_proj: Linear, // [hidden, hidden]
    layer: DecoderLayer,
    pub(super) norm: RmsNorm,
}

impl Predictor {
    /// Whether `scope` is such a layer.
    pub(super) fn is_in(scope: &Scope<'_>) -> bool {
        scope.enter("eh_proj").has("weight")
    }

    /// Reads what stands around `layer` in `scope`.
    pub(super) async fn load(
        loader: &Loader<'_>,
        scope: &Scope<'_>,
        layer: DecoderLayer,
        hidden: usize,
        epsilon: f64,
    ) -> Result<Self> {
        let joined = scope
            .enter("eh_proj")
            .tensor("weight", &[hidden, 2 * hidden])?;
        let half = async |first| {
            let rows = vec![Rows::columns(joined, first..first + hidden)];
            let weight = loader.stack(1, rows, hidden, loader.quantize).await?;
            Ok::<_, crate::error::Error>(Linear { weight })
        };
        let norm = async |scope: &Scope<'_>, name| loader.norm(scope, name, hidden, epsilon).await;
        Ok(Self {
            embedding_norm: norm(scope, "enorm").await?,
            state_norm: norm(scope, "hnorm").await?,
            embedding_proj: half(0).await?,
            state_proj: half(hidden).await?,
            layer,
            norm: norm(&scope.enter("shared_head"), "norm").await?,
        })
    }

    /// What the layer makes of every token's normalised state and the embedding of the token after it.
    ///
    /// `states, embeddings: [tokens, hidden]` → `[tokens, hidden]`
    pub(super) fn forward(
        &self,
        pass: &mut Pass,
        batch: &Batch,
        cache: &LayerCache,
        states: &Tensor,
        embeddings: &Tensor,
    ) -> Tensor {
        let embeddings = self.embedding_norm.forward(pass, embeddings);
        let x = self.embedding_proj.forward(pass, embeddings);
        let states = self.state_norm.forward(pass, states);
        self.state_proj.add_forward(pass, states, &x);
        // Nobody asks which experts guess.
        self.layer.forward(pass, batch, cache, &x);
        x
    }
}

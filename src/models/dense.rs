//! Dense models: Qwen2 (arXiv 2407.10671), Qwen3 (arXiv 2505.09388) and Llama 3 (arXiv 2407.21783), and what is
//! distilled into them from R1 (arXiv 2501.12948).

use futures::future::LocalBoxFuture;

use super::decoder::{self, Attention, FeedForward, Outline};
use super::dense_config::Config;
use super::loader::Loader;
use super::{Model, ModelShape};
use crate::checkpoint::{Checkpoint, Scope};
use crate::error::Result;
use crate::gpu::Tensor;
use crate::layers::GroupedQueryAttention;
use crate::ops::KeyHeads;

/// The sizes of a checkpoint of any of them.
pub(super) fn shape(checkpoint: &Checkpoint) -> Result<ModelShape> {
    Ok(model_shape(&Config::new(checkpoint)?))
}

fn model_shape(config: &Config) -> ModelShape {
    ModelShape {
        vocabulary: config.vocab_size,
        layers: config.num_hidden_layers,
        index_width: 0,
        // Keys, then values.
        cache_width: KeyHeads {
            count: config.num_key_value_heads,
            columns: config.head_dim,
        }
        .row(),
        context: config.max_position_embeddings,
        rotary: config.rotary.clone(),
    }
}

/// Reads a checkpoint of any of them.
pub(super) fn load<'a>(loader: &'a Loader<'a>) -> LocalBoxFuture<'a, Result<Box<dyn Model>>> {
    Box::pin(async move {
        let config = Config::new(loader.checkpoint)?;
        let outline = Outline {
            shape: model_shape(&config),
            hidden: config.hidden_size,
            epsilon: config.rms_norm_eps,
            tied: config.tie_word_embeddings,
        };
        let parts = async |scope: &Scope<'a>, _| {
            let attention = load_attention(loader, &config, &scope.enter("self_attn")).await?;
            let scope = scope.enter("mlp");
            let mlp = loader.mlp(&scope, config.hidden_size, config.intermediate_size);
            Ok((
                Attention::Grouped(attention),
                FeedForward::Dense(mlp.await?),
            ))
        };
        decoder::load(loader, outline, parts).await
    })
}

async fn load_attention(
    loader: &Loader<'_>,
    config: &Config,
    scope: &Scope<'_>,
) -> Result<GroupedQueryAttention> {
    let (hidden, head_dim) = (config.hidden_size, config.head_dim);
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    let parts = [
        ("q_proj", heads * head_dim),
        ("k_proj", kv_heads * head_dim),
        ("v_proj", kv_heads * head_dim),
    ];
    let norm = async |name| {
        if config.has_head_norms {
            loader
                .norm(scope, name, head_dim, config.rms_norm_eps)
                .await
                .map(Some)
        } else {
            Ok(None)
        }
    };
    Ok(GroupedQueryAttention {
        qkv_proj: loader.joined(scope, &parts, hidden).await?,
        qkv_bias: if config.has_qkv_bias {
            Some(joined_bias(loader, scope, &parts).await?)
        } else {
            None
        },
        q_norm: norm("q_norm").await?,
        k_norm: norm("k_norm").await?,
        o_proj: loader
            .linear(scope, "o_proj", [hidden, heads * head_dim])
            .await?,
        heads,
        kv_heads,
        head_dim,
        pairing: config.pairing,
        softmax_scale: (head_dim as f32).sqrt().recip(),
    })
}

/// The biases of several projections, one after the other.
async fn joined_bias(
    loader: &Loader<'_>,
    scope: &Scope<'_>,
    parts: &[(&str, usize)],
) -> Result<Tensor> {
    let mut bias = Vec::new();
    for &(name, width) in parts {
        let scope = scope.enter(name);
        bias.append(&mut loader.values(&scope, "bias", width).await?);
    }
    Ok(Tensor::upload(loader.gpu, &[bias.len()], &bias))
}

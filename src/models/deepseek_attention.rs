//! Reads the attention of DeepSeek-V2 to V3.2.

use super::deepseek_config::{Config, Index, LATENT_NORM_EPSILON};
use super::loader::{Loader, Rows};
use crate::checkpoint::{Scope, StoredTensor};
use crate::error::Result;
use crate::formats;
use crate::gpu::{Weight, WeightWriter};
use crate::layers::{Indexer, LatentAttention, Linear, QueryProjection};

/// Columns of a latent in the cache: attention reads eight at a time.
pub(super) fn latent_stride(config: &Config) -> usize {
    config.kv_lora_rank.next_multiple_of(8)
}

/// Reads a layer's attention, with its indexer if it has one.
pub(super) async fn load_attention(
    loader: &Loader<'_>,
    config: &Config,
    scope: &Scope<'_>,
) -> Result<LatentAttention> {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    let queries = heads * (config.qk_nope_head_dim + config.qk_rope_head_dim);
    let keys = config.kv_lora_rank + config.qk_rope_head_dim;
    let query = match config.q_lora_rank {
        None => QueryProjection::Full {
            q_proj: loader.linear(scope, "q_proj", [queries, hidden]).await?,
            kv_a_proj: loader
                .linear(scope, "kv_a_proj_with_mqa", [keys, hidden])
                .await?,
        },
        Some(rank) => {
            let parts = [("q_a_proj", rank), ("kv_a_proj_with_mqa", keys)];
            QueryProjection::LowRank {
                qkv_a_proj: loader.joined(scope, &parts, hidden).await?,
                q_a_norm: loader
                    .norm(scope, "q_a_layernorm", rank, LATENT_NORM_EPSILON)
                    .await?,
                q_b_proj: loader.linear(scope, "q_b_proj", [queries, rank]).await?,
            }
        }
    };
    let kv_a_norm = loader
        .norm(
            scope,
            "kv_a_layernorm",
            config.kv_lora_rank,
            LATENT_NORM_EPSILON,
        )
        .await?;
    let (k_up, v_up) = load_up_projections(loader, config, scope).await?;
    let indexer = match (config.index, config.q_lora_rank) {
        (Some(index), Some(rank)) => {
            let scope = scope.enter("indexer");
            Some(Box::new(
                load_indexer(loader, index, [hidden, rank], &scope).await?,
            ))
        }
        _ => None,
    };
    Ok(LatentAttention {
        query,
        kv_a_norm,
        k_up,
        v_up,
        indexer,
        o_proj: loader
            .linear(scope, "o_proj", [hidden, heads * config.v_head_dim])
            .await?,
        nope: config.qk_nope_head_dim,
        softmax_scale: config.softmax_scale as f32,
    })
}

async fn load_indexer(
    loader: &Loader<'_>,
    index: Index,
    [hidden, rank]: [usize; 2],
    scope: &Scope<'_>,
) -> Result<Indexer> {
    let Index {
        heads,
        head_dim: width,
        most,
    } = index;
    let k = scope.enter("wk").tensor("weight", &[width, hidden])?;
    let weights = scope
        .enter("weights_proj")
        .tensor("weight", &[heads, hidden])?;
    // Not quantised: they are small, and a small error in scores changes keys.
    let rows = vec![Rows::all(k), Rows::all(weights)];
    let k_norm = scope.enter("k_norm");
    Ok(Indexer {
        q_proj: loader.linear(scope, "wq_b", [heads * width, rank]).await?,
        k_weights_proj: Linear {
            weight: loader.stack(1, rows, hidden, None).await?,
        },
        k_gain: loader.vector(&k_norm, "weight", width).await?,
        k_bias: loader.vector(&k_norm, "bias", width).await?,
        epsilon: LATENT_NORM_EPSILON as f32,
        heads,
        most,
    })
}

/// What folds a query into the latent's space, and what takes values out of it.
async fn load_up_projections(
    loader: &Loader<'_>,
    config: &Config,
    scope: &Scope<'_>,
) -> Result<(Weight, Weight)> {
    let (heads, latent) = (config.num_attention_heads, config.kv_lora_rank);
    let (nope, value) = (config.qk_nope_head_dim, config.v_head_dim);
    // GGUF files have the two apart, the keys' half transposed as it is needed here.
    if scope.has("k_b_proj.weight") {
        let k_b_proj = scope
            .enter("k_b_proj")
            .tensor("weight", &[heads, latent, nope])?;
        let v_b_proj = scope
            .enter("v_b_proj")
            .tensor("weight", &[heads, value, latent])?;
        let k_up = up_rows(loader, config, k_b_proj).await?;
        return Ok((
            k_up,
            up_columns(loader, config, vec![Rows::all(v_b_proj)]).await?,
        ));
    }
    let kv_b_proj = scope
        .enter("kv_b_proj")
        .tensor("weight", &[heads * (nope + value), latent])?;
    let values = |head: usize| {
        let first = head * (nope + value) + nope;
        Rows::some(kv_b_proj, first..first + value)
    };
    let k_up = transposed_keys(loader, config, kv_b_proj).await?;
    let v_up = up_columns(loader, config, (0..heads).map(values).collect()).await?;
    Ok((k_up, v_up))
}

/// `[heads, latent, nope]` with rows of zeros up to the stride of a latent.
async fn up_rows(loader: &Loader<'_>, config: &Config, keys: StoredTensor<'_>) -> Result<Weight> {
    let (heads, stride) = (config.num_attention_heads, latent_stride(config));
    let (latent, nope) = (config.kv_lora_rank, config.qk_nope_head_dim);
    if latent == stride {
        return loader.stack(heads, vec![Rows::all(keys)], nope, None).await;
    }
    let mut writer = WeightWriter::new(loader.gpu, &formats::F32, [heads, stride, nope]).await?;
    for head in 0..heads {
        if writer.skip(stride) {
            continue;
        }
        let mut values = keys.read_rows(head * latent..(head + 1) * latent).await?;
        values.resize(stride * nope, 0.0);
        writer.write(&values).await?;
    }
    loader.advance(keys.bytes());
    Ok(writer.finish())
}

/// `[heads, latent, nope]`, from the rows of `kv_b_proj` that make keys: `[nope, latent]` of each head.
async fn transposed_keys(
    loader: &Loader<'_>,
    config: &Config,
    kv_b_proj: StoredTensor<'_>,
) -> Result<Weight> {
    let (heads, stride) = (config.num_attention_heads, latent_stride(config));
    let (latent, nope) = (config.kv_lora_rank, config.qk_nope_head_dim);
    // Blocks run along the latent, so they do not survive; every score goes through what they decode to.
    let format = match kv_b_proj.format() {
        Some(format) if format.stored.is_some() => format,
        _ => &formats::F32,
    };
    let mut writer = WeightWriter::new(loader.gpu, format, [heads, stride, nope]).await?;
    for head in 0..heads {
        if writer.skip(stride) {
            continue;
        }
        let first = head * (nope + config.v_head_dim);
        let keys = kv_b_proj.read_rows(first..first + nope).await?; // [nope, latent]
        let mut transposed = vec![0.0; stride * nope]; // [stride, nope]
        for (row, key) in keys.chunks(latent).enumerate() {
            for (column, &weight) in key.iter().enumerate() {
                transposed[column * nope + row] = weight;
            }
        }
        writer.write(&transposed).await?;
        loader.advance(kv_b_proj.bytes() / kv_b_proj.rows() as u64 * nope as u64);
    }
    Ok(writer.finish())
}

/// `[heads, value, latent]` with columns of zeros up to the stride of a latent.
async fn up_columns(loader: &Loader<'_>, config: &Config, values: Vec<Rows<'_>>) -> Result<Weight> {
    let (heads, latent) = (config.num_attention_heads, config.kv_lora_rank);
    // Not quantised: they are small, and every score and every value goes through them.
    let mut weight = loader.stack(heads, values, latent, None).await?;
    // The padding of the format holds zeros, so a row may be called as wide as it is.
    weight.columns = latent_stride(config);
    Ok(weight)
}

//! DeepSeek-V2 (arXiv 2405.04434) and V3, R1, V3.1 (arXiv 2412.19437), V3.2.

use futures::future::LocalBoxFuture;

use super::decoder::{Attention, Decoder, DecoderLayer, Ends, FeedForward};
use super::deepseek_config::{Config, Experts, Index, LATENT_NORM_EPSILON};
use super::loader::{Loader, Rows};
use super::{Model, ModelShape};
use crate::checkpoint::{Checkpoint, Scope, StoredTensor};
use crate::error::Result;
use crate::formats;
use crate::gpu::{Tensor, Weight, WeightWriter};
use crate::layers::{Indexer, LatentAttention, Linear, MixtureOfExperts, QueryProjection};
use crate::ops::RoutingRule;

/// The sizes of a checkpoint of either generation.
pub(super) fn shape(checkpoint: &Checkpoint) -> Result<ModelShape> {
    Ok(model_shape(&Config::new(checkpoint)?))
}

fn model_shape(config: &Config) -> ModelShape {
    ModelShape {
        vocabulary: config.vocab_size,
        layers: config.num_hidden_layers,
        cache_width: latent_stride(config) + config.qk_rope_head_dim.next_multiple_of(4),
        index_width: config.index.map_or(0, |index| index.head_dim),
        context: config.max_position_embeddings,
        rotary: config.rotary.clone(),
    }
}

/// Reads a checkpoint of either generation.
pub(super) fn load<'a>(loader: &'a Loader<'a>) -> LocalBoxFuture<'a, Result<Box<dyn Model>>> {
    Box::pin(async move {
        let config = Config::new(loader.checkpoint)?;
        let model = loader.checkpoint.root().enter("model");
        let mut layers = Vec::new();
        for layer in 0..config.num_hidden_layers {
            let scope = model.enter("layers").enter(layer);
            layers.push(load_layer(loader, &config, &scope, config.is_mixture(layer)).await?);
        }
        let table = [config.vocab_size, config.hidden_size];
        let (tied, epsilon) = (config.tie_word_embeddings, config.rms_norm_eps);
        Ok(Box::new(Decoder {
            shape: model_shape(&config),
            ends: Ends::load(loader, table, tied, epsilon).await?,
            layers,
        }) as Box<dyn Model>)
    })
}

async fn load_layer(
    loader: &Loader<'_>,
    config: &Config,
    scope: &Scope<'_>,
    mixture: bool,
) -> Result<DecoderLayer> {
    let (hidden, epsilon) = (config.hidden_size, config.rms_norm_eps);
    let mlp = scope.enter("mlp");
    Ok(DecoderLayer {
        input_norm: loader
            .norm(scope, "input_layernorm", hidden, epsilon)
            .await?,
        attention: Attention::Latent(
            load_attention(loader, config, &scope.enter("self_attn")).await?,
        ),
        post_attention_norm: loader
            .norm(scope, "post_attention_layernorm", hidden, epsilon)
            .await?,
        feed_forward: match &config.experts {
            Some(experts) if mixture => {
                FeedForward::Mixture(load_experts(loader, experts, hidden, &mlp).await?)
            }
            _ => FeedForward::Dense(loader.mlp(&mlp, hidden, config.intermediate_size).await?),
        },
    })
}

/// Columns of a latent in the cache: attention reads four at a time.
fn latent_stride(config: &Config) -> usize {
    config.kv_lora_rank.next_multiple_of(4)
}

async fn load_attention(
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
            Some(load_indexer(loader, index, [hidden, rank], &scope).await?)
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

async fn load_experts(
    loader: &Loader<'_>,
    experts: &Experts,
    hidden: usize,
    scope: &Scope<'_>,
) -> Result<MixtureOfExperts> {
    let (routed, width) = (experts.n_routed_experts, experts.moe_intermediate_size);
    let gate_scope = scope.enter("gate");
    let gate = gate_scope.tensor("weight", &[routed, hidden])?;
    // The router is not quantised: a small error in its scores changes experts.
    let gate = Linear {
        weight: loader.stack(1, vec![Rows::all(gate)], hidden, None).await?,
    };
    let bias = if experts.has_correction_bias {
        loader
            .vector(&gate_scope, "e_score_correction_bias", routed)
            .await?
    } else {
        Tensor::new(loader.gpu, &[routed])
    };

    let mut rows = expert_rows(experts, hidden, scope)?;
    let shared = shared_rows(loader, experts, hidden, scope)?;
    let count = shared.down_proj.len();
    rows.extend(shared);
    Ok(MixtureOfExperts {
        gate,
        bias,
        rule: RoutingRule {
            shared_experts: count,
            ..experts.rule
        },
        gate_up: load_gate_up(loader, routed + count, rows.gate, rows.up, hidden).await?,
        down_proj: loader
            .stack(routed + count, rows.down_proj, width, loader.quantize)
            .await?,
    })
}

/// The rows of experts' projections, in order.
#[derive(Default)]
struct ExpertRows<'c> {
    gate: Vec<Vec<Rows<'c>>>,
    up: Vec<Vec<Rows<'c>>>,
    down_proj: Vec<Rows<'c>>,
}

impl ExpertRows<'_> {
    fn extend(&mut self, more: Self) {
        self.gate.extend(more.gate);
        self.up.extend(more.up);
        self.down_proj.extend(more.down_proj);
    }
}

/// Each expert's gate projection above its up projection, or, where an expert has them in two formats, all
/// gate projections and all up projections.
async fn load_gate_up(
    loader: &Loader<'_>,
    experts: usize,
    gate: Vec<Vec<Rows<'_>>>,
    up: Vec<Vec<Rows<'_>>>,
    hidden: usize,
) -> Result<Vec<Weight>> {
    let differ = |(gate, up): (&Vec<Rows>, &Vec<Rows>)| gate[0].format() != up[0].format();
    let stack = async |rows| loader.stack(experts, rows, hidden, loader.quantize).await;
    if loader.quantize.is_none() && gate.iter().zip(&up).any(differ) {
        let (gate, up) = (gate.into_iter().flatten(), up.into_iter().flatten());
        return Ok(vec![
            stack(gate.collect()).await?,
            stack(up.collect()).await?,
        ]);
    }
    let both = gate.into_iter().zip(up).flat_map(|(gate, up)| [gate, up]);
    Ok(vec![stack(both.flatten().collect()).await?])
}

/// The shared network as experts as wide as the routed ones.
///
/// Where its rows are blocks that do not end where such an expert does, as in V2-Lite, each takes as many
/// whole blocks as fit, so that there are more of them. What an expert then has too many of are any rows:
/// the columns that they would meet in the down projection are zeros.
fn shared_rows<'c>(
    loader: &Loader<'_>,
    experts: &Experts,
    hidden: usize,
    scope: &Scope<'c>,
) -> Result<ExpertRows<'c>> {
    let width = experts.moe_intermediate_size;
    let total = experts.rule.shared_experts * width;
    let mut rows = ExpertRows::default();
    if total == 0 {
        return Ok(rows);
    }
    let scope = scope.enter("shared_experts");
    let tensor = |name, shape: [usize; 2]| scope.enter(name).tensor("weight", &shape);
    let (gate, up) = (
        tensor("gate_proj", [total, hidden])?,
        tensor("up_proj", [total, hidden])?,
    );
    let down = tensor("down_proj", [hidden, total])?;
    let block = match down.format() {
        Some(format) if loader.quantize.is_none() && format.stored.is_none() => format.block,
        _ => 1,
    };
    let step = if block <= width {
        width / block * block
    } else {
        width
    };
    for first in (0..total).step_by(step) {
        let end = total.min(first + width);
        let window = |tensor| {
            let rows = [first..end, 0..first + width - end].into_iter();
            let rows = rows.filter(|rows| !rows.is_empty());
            rows.map(|rows| Rows::some(tensor, rows)).collect()
        };
        rows.gate.push(window(gate));
        rows.up.push(window(up));
        let part = first..total.min(first + step);
        rows.down_proj.push(Rows::columns(down, part));
    }
    Ok(rows)
}

/// The rows of all routed experts.
fn expert_rows<'c>(experts: &Experts, hidden: usize, scope: &Scope<'c>) -> Result<ExpertRows<'c>> {
    let width = experts.moe_intermediate_size;
    let mut rows = ExpertRows::default();
    for expert in 0..experts.n_routed_experts {
        let scope = scope.enter("experts").enter(expert);
        let all = |name| {
            let tensor = scope.enter(name).tensor("weight", &[width, hidden])?;
            Ok(vec![Rows::all(tensor)])
        };
        rows.gate.push(all("gate_proj")?);
        rows.up.push(all("up_proj")?);
        rows.down_proj.push(Rows::all(
            scope
                .enter("down_proj")
                .tensor("weight", &[hidden, width])?,
        ));
    }
    Ok(rows)
}

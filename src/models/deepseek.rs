//! DeepSeek-V2 (arXiv 2405.04434) and V3, R1, V3.1 (arXiv 2412.19437), V3.2.

use futures::future::LocalBoxFuture;

use super::decoder::{self, Attention, FeedForward, Outline};
use super::deepseek_attention::{latent_stride, load_attention};
use super::deepseek_config::{Config, Experts};
use super::loader::{Loader, Rows};
use super::{Model, ModelShape};
use crate::checkpoint::{Checkpoint, Scope};
use crate::error::Result;
use crate::gpu::{Tensor, Weight};
use crate::layers::{Linear, MixtureOfExperts};
use crate::ops::RoutingRule;

/// The sizes of a checkpoint of any generation.
pub(super) fn shape(checkpoint: &Checkpoint) -> Result<ModelShape> {
    Ok(model_shape(&Config::new(checkpoint)?))
}

fn model_shape(config: &Config) -> ModelShape {
    ModelShape {
        vocabulary: config.vocab_size,
        layers: config.num_hidden_layers,
        cache_width: latent_stride(config) + config.qk_rope_head_dim.next_multiple_of(8),
        index_width: config.index.map_or(0, |index| index.head_dim),
        context: config.max_position_embeddings,
        rotary: config.rotary.clone(),
    }
}

/// Reads a checkpoint of any generation.
pub(super) fn load<'a>(loader: &'a Loader<'a>) -> LocalBoxFuture<'a, Result<Box<dyn Model>>> {
    Box::pin(async move {
        let config = Config::new(loader.checkpoint)?;
        let outline = Outline {
            shape: model_shape(&config),
            hidden: config.hidden_size,
            epsilon: config.rms_norm_eps,
            tied: config.tie_word_embeddings,
        };
        let parts = async |scope: &Scope<'a>, layer| {
            let attention = load_attention(loader, &config, &scope.enter("self_attn")).await?;
            let scope = scope.enter("mlp");
            let hidden = config.hidden_size;
            let feed_forward = match &config.experts {
                Some(experts) if config.is_mixture(layer) => {
                    FeedForward::Mixture(load_experts(loader, experts, hidden, &scope).await?)
                }
                _ => {
                    FeedForward::Dense(loader.mlp(&scope, hidden, config.intermediate_size).await?)
                }
            };
            Ok((Attention::Latent(attention), feed_forward))
        };
        decoder::load(loader, outline, parts).await
    })
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

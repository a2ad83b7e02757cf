//! config.json of DeepSeek-V2, V3 and V3.2, under its own names, with every number checked.

use super::config::{self, refuse_activation, refuse_attention_bias, sized};
use crate::checkpoint::{Checkpoint, Fields, Rope, RopeScaling, Yarn};
use crate::error::Result;
use crate::layers::Rotary;
use crate::ops::{GroupScore, RoutingRule, Scoring};

/// Epsilon of the norms inside attention, whatever `rms_norm_eps` says.
pub(super) const LATENT_NORM_EPSILON: f64 = 1e-6;

/// Sizes and rules of a model.
#[derive(Debug)]
pub(super) struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub q_lora_rank: Option<usize>,
    pub kv_lora_rank: usize,
    pub qk_nope_head_dim: usize,
    pub qk_rope_head_dim: usize,
    pub v_head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub tie_word_embeddings: bool,
    pub experts: Option<Experts>,
    pub index: Option<Index>,
    pub rotary: Rotary,
    pub softmax_scale: f64,
}

/// The part of the configuration that concerns sparse attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    pub heads: usize,
    pub head_dim: usize,
    /// Keys that a token attends to, at most.
    pub most: usize,
}

/// The part of the configuration that concerns experts.
#[derive(Debug)]
pub(super) struct Experts {
    pub n_routed_experts: usize,
    pub moe_intermediate_size: usize,
    pub first_k_dense_replace: usize,
    pub moe_layer_freq: usize,
    pub has_correction_bias: bool,
    pub rule: RoutingRule,
}

impl Config {
    pub(super) fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let fields = checkpoint.fields()?;
        refuse_attention_bias(&fields)?;
        refuse_activation(&fields)?;
        let size = |name| sized(&fields, name, 1 << 24);
        // Few enough for products with heads to be counts of 32 bits.
        let head = |name| sized(&fields, name, 1 << 16);
        let qk_nope_head_dim = head("qk_nope_head_dim")?;
        let qk_rope_head_dim = head("qk_rope_head_dim")?;
        let rope = Rope::new(&fields)?;
        let scaling = match &rope.scaling {
            None => None,
            Some(RopeScaling::Yarn(scaling)) => Some(scaling),
            Some(_) => return Err(fields.unsupported("rope_scaling", "is not YaRN")),
        };
        let (magnitude, stretch) = magnitudes(scaling);
        let width = (qk_nope_head_dim + qk_rope_head_dim) as f64;
        let config = Self {
            vocab_size: size("vocab_size")?,
            hidden_size: size("hidden_size")?,
            intermediate_size: size("intermediate_size")?,
            num_hidden_layers: sized(&fields, "num_hidden_layers", 4096)?,
            num_attention_heads: sized(&fields, "num_attention_heads", 4096)?,
            q_lora_rank: fields.optional_usize("q_lora_rank")?,
            // As many as attention's workgroup memory holds the keys of.
            kv_lora_rank: sized(&fields, "kv_lora_rank", 680)?,
            qk_nope_head_dim,
            qk_rope_head_dim,
            v_head_dim: head("v_head_dim")?,
            max_position_embeddings: sized(&fields, "max_position_embeddings", 1 << 30)?,
            rms_norm_eps: fields.f64_or("rms_norm_eps", 1e-6)?,
            tie_word_embeddings: fields.bool_or("tie_word_embeddings", false)?,
            experts: Experts::new(&fields)?,
            index: Index::new(&fields, qk_rope_head_dim)?,
            rotary: Rotary::new(
                qk_rope_head_dim,
                rope.theta,
                &config::scaling(&rope),
                magnitude,
            ),
            softmax_scale: width.sqrt().recip() * stretch,
        };
        if config.index.is_some() && config.q_lora_rank.is_none() {
            return Err(fields.damaged("q_lora_rank", "is missing, but the indexer needs it"));
        }
        if config.q_lora_rank == Some(0) {
            return Err(fields.damaged("q_lora_rank", "is 0"));
        }
        if !qk_rope_head_dim.is_multiple_of(2) {
            return Err(fields.damaged(
                "qk_rope_head_dim",
                "is odd, but rotary columns come in pairs",
            ));
        }
        Ok(config)
    }

    /// Whether `layer` has experts instead of one wide network.
    pub(super) fn is_mixture(&self, layer: usize) -> bool {
        self.experts.as_ref().is_some_and(|experts| {
            layer >= experts.first_k_dense_replace && layer.is_multiple_of(experts.moe_layer_freq)
        })
    }
}

/// What cosines and sines, and what scores are multiplied with.
///
/// DeepSeek stretches attention by the square of one magnitude, and the rotations by the ratio of two,
/// which its checkpoints make 1.
fn magnitudes(scaling: Option<&Yarn>) -> (f64, f64) {
    let Some(scaling) = scaling else {
        return (1.0, 1.0);
    };
    let magnitude = |weight| config::yarn(scaling).magnitude(weight);
    let all_dim = scaling.mscale_all_dim.map(magnitude);
    let rotations = match (scaling.mscale.map(magnitude), all_dim) {
        (Some(mscale), Some(all_dim)) => mscale / all_dim,
        _ => scaling.attention_factor.unwrap_or_else(|| magnitude(1.0)),
    };
    (rotations, all_dim.unwrap_or(1.0).powi(2))
}

impl Index {
    /// `None` for a generation that attends to all keys.
    fn new(fields: &Fields, rope: usize) -> Result<Option<Self>> {
        if fields.str("model_type")? != "deepseek_v32" {
            return Ok(None);
        }
        let index = Self {
            heads: sized(fields, "index_n_heads", 4096)?,
            head_dim: sized(fields, "index_head_dim", 4096)?,
            most: sized(fields, "index_topk", 1 << 20)?,
        };
        if !index.head_dim.is_multiple_of(8) || index.head_dim < rope {
            let what = format!(
                "is {}; multiples of 8 from {rope} on are supported",
                index.head_dim
            );
            return Err(fields.unsupported("index_head_dim", &what));
        }
        Ok(Some(index))
    }
}

impl Experts {
    fn new(fields: &Fields) -> Result<Option<Self>> {
        let Some(n_routed_experts) = fields.optional_usize("n_routed_experts")? else {
            return Ok(None);
        };
        if !(1..=512).contains(&n_routed_experts) {
            return Err(fields.unsupported(
                "n_routed_experts",
                &format!("is {n_routed_experts}; 1 to 512 are supported"),
            ));
        }
        let v3 = fields.str("model_type")? != "deepseek_v2";
        let (method, scoring) = if v3 {
            ("noaux_tc", "sigmoid")
        } else {
            ("greedy", "softmax")
        };
        let method = fields.str_or("topk_method", method)?;
        let scoring = match fields.str_or("scoring_func", scoring)? {
            "softmax" => Scoring::Softmax,
            "sigmoid" => Scoring::Sigmoid,
            other => return Err(fields.unsupported("scoring_func", &format!("is {other:?}"))),
        };
        let (grouped, group_score) = match method {
            "greedy" => (false, GroupScore::Best),
            "group_limited_greedy" => (true, GroupScore::Best),
            "noaux_tc" => (true, GroupScore::BestTwo),
            other => return Err(fields.unsupported("topk_method", &format!("is {other:?}"))),
        };
        let group_count = |name| {
            fields
                .optional_usize(name)
                .map(|count| if grouped { count.unwrap_or(1) } else { 1 })
        };
        let normalise = fields.bool_or("norm_topk_prob", v3)?;
        let scale = fields.f64_or("routed_scaling_factor", 1.0)?;
        let rule = RoutingRule {
            scoring,
            experts_per_token: sized(fields, "num_experts_per_tok", 64)?,
            shared_experts: fields.optional_usize("n_shared_experts")?.unwrap_or(0),
            groups: group_count("n_group")?,
            groups_kept: group_count("topk_group")?,
            group_score,
            normalise,
            // DeepSeek-V2 scales or normalises, V3 does both.
            scale: if normalise && !v3 { 1.0 } else { scale as f32 },
        };
        check_groups(fields, n_routed_experts, &rule)?;
        Ok(Some(Self {
            n_routed_experts,
            moe_intermediate_size: sized(fields, "moe_intermediate_size", 1 << 24)?,
            first_k_dense_replace: fields.usize_or("first_k_dense_replace", 0)?,
            moe_layer_freq: fields.usize_or("moe_layer_freq", 1)?.max(1),
            has_correction_bias: method == "noaux_tc",
            rule,
        }))
    }
}

fn check_groups(fields: &Fields, experts: usize, rule: &RoutingRule) -> Result<()> {
    let RoutingRule {
        groups,
        groups_kept,
        experts_per_token,
        shared_experts,
        ..
    } = *rule;
    if groups == 0 || groups > 64 || !experts.is_multiple_of(groups) {
        return Err(fields.damaged(
            "n_group",
            &format!("is {groups}, which does not divide {experts} experts"),
        ));
    }
    if groups_kept == 0 || groups_kept > groups {
        return Err(fields.damaged(
            "topk_group",
            &format!("is {groups_kept} of {groups} groups"),
        ));
    }
    let eligible = experts / groups * groups_kept;
    if experts_per_token > eligible {
        let what = format!("is {experts_per_token}, but only {eligible} experts are eligible");
        return Err(fields.damaged("num_experts_per_tok", &what));
    }
    if shared_experts > 64 {
        return Err(fields.unsupported(
            "n_shared_experts",
            &format!("is {shared_experts}; up to 64 are supported"),
        ));
    }
    Ok(())
}

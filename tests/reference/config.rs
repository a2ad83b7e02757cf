//! The parts of config.json that change what a model computes.

use serde::Deserialize;

use super::{GroupScore, Routing, Scoring, Yarn, rope_frequencies, yarn_magnitude};

/// The fields of config.json under their own names.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    pub model_type: String,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub q_lora_rank: Option<usize>,
    pub kv_lora_rank: usize,
    pub qk_nope_head_dim: usize,
    pub qk_rope_head_dim: usize,
    pub v_head_dim: usize,
    pub rms_norm_eps: f64,
    pub first_k_dense_replace: usize,
    #[serde(default = "one")]
    pub moe_layer_freq: usize,
    pub n_routed_experts: usize,
    pub num_experts_per_tok: usize,
    pub n_group: Option<usize>,
    pub topk_group: Option<usize>,
    pub topk_method: Option<String>,
    pub norm_topk_prob: bool,
    pub routed_scaling_factor: f64,
    pub rope_theta: Option<f64>,
    pub rope_scaling: Option<RotarySettings>,
    pub rope_parameters: Option<RotarySettings>,
}

/// `rope_scaling` of published files, `rope_parameters` of files that transformers 5 wrote.
#[derive(Clone, Debug, Deserialize)]
pub struct RotarySettings {
    pub r#type: Option<String>,
    pub rope_type: Option<String>,
    pub rope_theta: Option<f64>,
    pub factor: Option<f64>,
    pub beta_fast: Option<f64>,
    pub beta_slow: Option<f64>,
    pub mscale: Option<f64>,
    pub mscale_all_dim: Option<f64>,
    pub original_max_position_embeddings: Option<f64>,
}

fn one() -> usize {
    1
}

impl Config {
    /// Whether a layer has experts.
    pub fn is_moe(&self, layer: usize) -> bool {
        layer >= self.first_k_dense_replace && layer.is_multiple_of(self.moe_layer_freq)
    }

    /// The rule by which tokens choose experts.
    pub fn routing(&self) -> Routing {
        let sigmoid = match self.model_type.as_str() {
            "deepseek_v3" => true,
            "deepseek_v2" => false,
            other => panic!("the reference has no {other}"),
        };
        let grouped = self.topk_method.as_deref() != Some("greedy");
        // V2's published code either normalises or scales; V3's does both.
        let scaled = sigmoid || !self.norm_topk_prob;
        Routing {
            scoring: if sigmoid {
                Scoring::Sigmoid
            } else {
                Scoring::Softmax
            },
            groups: if grouped {
                self.n_group.unwrap_or(1)
            } else {
                1
            },
            groups_kept: if grouped {
                self.topk_group.unwrap_or(1)
            } else {
                1
            },
            experts_per_token: self.num_experts_per_tok,
            normalise: self.norm_topk_prob,
            scale: if scaled {
                self.routed_scaling_factor
            } else {
                1.0
            },
            group_score: if sigmoid {
                GroupScore::TopTwoSum
            } else {
                GroupScore::Max
            },
        }
    }

    /// Radians per position of each rotated pair.
    pub fn frequencies(&self) -> Vec<f64> {
        let theta = self
            .rope()
            .and_then(|rope| rope.rope_theta)
            .or(self.rope_theta)
            .unwrap_or(10_000.0);
        let yarn = self.yarn().map(|rope| {
            // Otherwise sine and cosine would have a magnitude, which no DeepSeek model has.
            assert_eq!(rope.mscale, rope.mscale_all_dim);
            Yarn {
                factor: rope.factor.unwrap(),
                beta_fast: rope.beta_fast.unwrap_or(32.0),
                beta_slow: rope.beta_slow.unwrap_or(1.0),
                original_max_position_embeddings: rope.original_max_position_embeddings.unwrap(),
            }
        });
        rope_frequencies(self.qk_rope_head_dim, theta, yarn)
    }

    /// What attention scores are multiplied with.
    pub fn attention_scale(&self) -> f64 {
        let width = (self.qk_nope_head_dim + self.qk_rope_head_dim) as f64;
        let magnitude = |rope: &RotarySettings| {
            yarn_magnitude(rope.factor.unwrap(), rope.mscale_all_dim.unwrap_or(0.0))
        };
        width.powf(-0.5) * self.yarn().map_or(1.0, magnitude).powi(2)
    }

    fn rope(&self) -> Option<&RotarySettings> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    fn yarn(&self) -> Option<&RotarySettings> {
        let kind = |rope: &RotarySettings| {
            rope.rope_type
                .clone()
                .or(rope.r#type.clone())
                .unwrap_or_default()
        };
        self.rope().filter(|rope| match kind(rope).as_str() {
            "yarn" => true,
            "default" => false,
            other => panic!("the reference has no rope of type {other:?}"),
        })
    }
}

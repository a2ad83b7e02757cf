//! A config.json as metadata: the other direction of `config`.

use std::f64::consts::TAU;

use super::config::COUNTS;
use super::metadata::{Metadata, MetadataValue};
use super::{MOST_DIVISORS, vocabulary};
use crate::checkpoint::{Checkpoint, Fields, Llama3, Rope, RopeScaling, Yarn};
use crate::error::{Error, Result};

/// The version of the block formats.
const QUANTIZATION: u32 = 2;
/// `expert_gating_func`
const SOFTMAX: usize = 1;
const SIGMOID: usize = 2;

/// The metadata of a file of `checkpoint`'s tensors, mostly of the type with the number `file_type`.
pub(in crate::checkpoint) async fn describe(
    checkpoint: &Checkpoint,
    architecture: &'static str,
    name: &str,
    file_type: u32,
) -> Result<Metadata> {
    let mut metadata = if let Some(metadata) = checkpoint.metadata() {
        let mut metadata = metadata.clone();
        // It becomes one file, which begins its tensors where files do that do not say.
        metadata.retain(|key, _| !key.starts_with("split.") && key != "general.alignment");
        metadata
    } else {
        let mut keys = Keys {
            fields: checkpoint.fields()?,
            architecture,
            metadata: Metadata::new(),
        };
        keys.add_all()?;
        vocabulary::add(checkpoint, &mut keys.metadata).await?;
        let name = MetadataValue::text(name);
        keys.metadata.insert("general.name".into(), name);
        keys.metadata
    };
    for (key, value) in [
        ("general.architecture", MetadataValue::text(architecture)),
        ("general.type", MetadataValue::text("model")),
        ("general.file_type", MetadataValue::count(file_type)),
        (
            "general.quantization_version",
            MetadataValue::count(QUANTIZATION),
        ),
    ] {
        metadata.insert(key.into(), value);
    }
    Ok(metadata)
}

struct Keys<'a> {
    fields: Fields<'a>,
    architecture: &'static str,
    metadata: Metadata,
}

impl Keys<'_> {
    fn put(&mut self, key: &str, value: MetadataValue) {
        self.metadata
            .insert(format!("{}.{key}", self.architecture), value);
    }

    fn put_count(&mut self, key: &str, count: usize) -> Result<()> {
        let count = u32::try_from(count).map_err(|_| {
            let what = format!("`{key}` is {count}, too many for a GGUF file");
            Error::unsupported(self.fields.file.as_str(), what)
        })?;
        self.put(key, MetadataValue::count(count));
        Ok(())
    }

    fn put_number(&mut self, key: &str, number: f64) {
        self.put(key, MetadataValue::number(number as f32));
    }

    /// The count that config.json calls `field`, if it has it.
    fn copy(&mut self, key: &str, field: &str) -> Result<()> {
        match self.fields.optional_usize(field)? {
            Some(count) => self.put_count(key, count),
            None => Ok(()),
        }
    }

    fn add_all(&mut self) -> Result<()> {
        let own = [
            ("block_count", "num_hidden_layers"),
            ("vocab_size", "vocab_size"),
        ];
        for (key, field) in own.into_iter().chain(COUNTS) {
            let count = self.fields.usize(field)?;
            self.put_count(key, count)?;
        }
        let epsilon = self.fields.f64_or("rms_norm_eps", 1e-6)?;
        self.put_number("attention.layer_norm_rms_epsilon", epsilon);
        let rope = Rope::new(&self.fields)?;
        self.put_number("rope.freq_base", rope.theta);
        if self.architecture == "deepseek2" {
            self.add_latent_attention()?;
            self.add_experts()?;
        } else {
            self.add_dense()?;
        }
        if let Some(RopeScaling::Yarn(yarn)) = &rope.scaling {
            self.add_yarn(yarn)?;
        }
        Ok(())
    }

    fn add_dense(&mut self) -> Result<()> {
        let heads = self.fields.usize("num_attention_heads")?;
        let pairs = self.fields.usize_or("num_key_value_heads", heads)?;
        self.put_count("attention.head_count_kv", pairs)?;
        let hidden = self.fields.usize("hidden_size")?;
        let width = hidden.checked_div(heads).unwrap_or(0);
        let width = self.fields.usize_or("head_dim", width)?;
        for key in [
            "attention.key_length",
            "attention.value_length",
            "rope.dimension_count",
        ] {
            self.put_count(key, width)?;
        }
        Ok(())
    }

    /// Attention over the shared latent, which newer files describe as attention with one key for all heads.
    fn add_latent_attention(&mut self) -> Result<()> {
        let latent = self.fields.usize("kv_lora_rank")?;
        let rope = self.fields.usize("qk_rope_head_dim")?;
        let nope = self.fields.usize("qk_nope_head_dim")?;
        let value = self.fields.usize("v_head_dim")?;
        self.copy("attention.q_lora_rank", "q_lora_rank")?;
        for (key, count) in [
            ("attention.head_count_kv", 1),
            ("attention.kv_lora_rank", latent),
            ("attention.key_length", latent + rope),
            ("attention.value_length", latent),
            ("attention.key_length_mla", nope + rope),
            ("attention.value_length_mla", value),
            ("rope.dimension_count", rope),
        ] {
            self.put_count(key, count)?;
        }
        Ok(())
    }

    fn add_experts(&mut self) -> Result<()> {
        let Some(experts) = self.fields.optional_usize("n_routed_experts")? else {
            let layers = self.fields.usize("num_hidden_layers")?;
            return self.put_count("leading_dense_block_count", layers);
        };
        if self.fields.usize_or("moe_layer_freq", 1)? != 1 {
            let what = "is not 1, which GGUF files cannot say";
            return Err(self.fields.unsupported("moe_layer_freq", what));
        }
        let v3 = self.fields.str("model_type")? == "deepseek_v3";
        let default = if v3 { "sigmoid" } else { "softmax" };
        let scoring = match self.fields.str_or("scoring_func", default)? {
            "sigmoid" => SIGMOID,
            _ => SOFTMAX,
        };
        self.put_count("expert_count", experts)?;
        self.put_count("expert_gating_func", scoring)?;
        for (key, field) in [
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
        ] {
            self.copy(key, field)?;
        }
        // Whoever reads the file may take a count that is missing for 1.
        let shared = self.fields.optional_usize("n_shared_experts")?.unwrap_or(0);
        self.put_count("expert_shared_count", shared)?;
        let dense = self.fields.usize_or("first_k_dense_replace", 0)?;
        self.put_count("leading_dense_block_count", dense)?;
        // Without groups there is one, even where config.json has numbers that are not used.
        let default = if v3 { "noaux_tc" } else { "greedy" };
        let grouped = self.fields.str_or("topk_method", default)? != "greedy";
        for (key, field) in [
            ("expert_group_count", "n_group"),
            ("expert_group_used_count", "topk_group"),
        ] {
            let count = self.fields.optional_usize(field)?.unwrap_or(1);
            self.put_count(key, if grouped { count } else { 1 })?;
        }
        let scale = self.fields.f64_or("routed_scaling_factor", 1.0)?;
        self.put_number("expert_weights_scale", scale);
        let normalised = self.fields.bool_or("norm_topk_prob", v3)?;
        self.put("expert_weights_norm", MetadataValue::flag(normalised));
        Ok(())
    }

    fn add_yarn(&mut self, yarn: &Yarn) -> Result<()> {
        self.put("rope.scaling.type", MetadataValue::text("yarn"));
        self.put_number("rope.scaling.factor", yarn.factor);
        let original = yarn.original_max_position_embeddings;
        self.put_count("rope.scaling.original_context_length", original)?;
        self.put_number("rope.scaling.yarn_beta_fast", yarn.beta_fast);
        self.put_number("rope.scaling.yarn_beta_slow", yarn.beta_slow);
        if self.architecture != "deepseek2" {
            let factor = yarn.attention_factor.map_or(yarn.attn_factor, |own| {
                // The file's factor multiplies YaRN's own magnitude.
                Some(own / (0.1 * yarn.factor.ln() + 1.0))
            });
            if let Some(factor) = factor {
                self.put_number("rope.scaling.attn_factor", factor);
            }
            return Ok(());
        }
        // Without it, whoever reads the file multiplies by YaRN's own magnitude, by a rule of its own.
        let all = yarn.mscale_all_dim.unwrap_or(0.0);
        if all == 0.0 {
            let what = "is missing or 0, which GGUF files of this architecture cannot say";
            let name = "rope_scaling.mscale_all_dim";
            return Err(self.fields.unsupported(name, what));
        }
        if yarn.mscale.is_none_or(|mscale| (mscale - all).abs() > 1e-9) {
            let what = "is not the number of mscale_all_dim, which GGUF files cannot say";
            return Err(self.fields.unsupported("rope_scaling.mscale", what));
        }
        self.put_number("rope.scaling.yarn_log_multiplier", 0.1 * all);
        Ok(())
    }
}

/// What Llama's frequencies are divided by, if config.json scales them so.
pub(in crate::checkpoint) fn divisors(checkpoint: &Checkpoint) -> Result<Option<Vec<f32>>> {
    let fields = checkpoint.fields()?;
    let rope = Rope::new(&fields)?;
    match &rope.scaling {
        Some(RopeScaling::Llama3(scaling)) => {
            let heads = fields.usize("num_attention_heads")?;
            let width = fields.usize("hidden_size")?.checked_div(heads).unwrap_or(0);
            let width = fields.usize_or("head_dim", width)?;
            if width / 2 > MOST_DIVISORS {
                return Err(fields.damaged("head_dim", &format!("is {width}, too many columns")));
            }
            let divisor = |pair: usize| {
                let frequency = rope.theta.powf(-2.0 * pair as f64 / width as f64);
                scaling.divisor(frequency) as f32
            };
            Ok(Some((0..width / 2).map(divisor).collect()))
        }
        Some(RopeScaling::Divisors(divisors)) => Ok(Some(
            divisors.iter().map(|&divisor| divisor as f32).collect(),
        )),
        _ => Ok(None),
    }
}

impl Llama3 {
    /// What a frequency, in radians a position, is divided by.
    fn divisor(&self, frequency: f64) -> f64 {
        let turns = frequency * self.original_max_position_embeddings as f64 / TAU;
        let (low, high) = (self.low_freq_factor, self.high_freq_factor);
        // From 1 for high frequencies to the whole factor for low ones.
        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - kept) / self.factor + kept)
    }
}

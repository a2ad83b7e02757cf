//! Metadata as the config.json of the checkpoint that a GGUF file was made from.
//!
//! Checks only what it calculates with: a model checks its fields anyway.

use serde_json::{Map, Value, json};

use super::metadata::{Metadata, MetadataValue};
use super::names::architectures;
use crate::error::{Error, Result};

/// Counts of every architecture: what GGUF files and what Hugging Face calls them.
pub(super) const COUNTS: [(&str, &str); 4] = [
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
];

/// Those of latent attention.
const LATENT_COUNTS: [(&str, &str); 3] = [
    ("attention.q_lora_rank", "q_lora_rank"),
    ("attention.kv_lora_rank", "kv_lora_rank"),
    ("attention.head_count", "num_key_value_heads"),
];

/// Those of experts.
const EXPERT_COUNTS: [(&str, &str); 3] = [
    ("expert_shared_count", "n_shared_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];

/// What a configuration needs to know of the tensors.
#[derive(Default)]
pub(in crate::checkpoint) struct Facts {
    /// Rows of the table of embeddings.
    pub vocabulary: Option<usize>,
    /// Whether there is a matrix for scores.
    pub has_output: bool,
    /// Whether queries have biases.
    pub has_bias: bool,
    /// Whether choosing experts is corrected.
    pub has_correction: bool,
    /// What frequencies are divided by.
    pub divisors: Option<Vec<f32>>,
}

/// The architecture that a file says it has, if it is supported.
pub(super) fn architecture<'m>(path: &str, metadata: &'m Metadata) -> Result<&'m str> {
    let key = "general.architecture";
    let Some(name) = metadata.get(key).and_then(MetadataValue::as_str) else {
        let what = format!("has no text `{key}` in its metadata");
        return Err(Error::damaged(path, what));
    };
    let known = architectures();
    if known.contains(&name) {
        return Ok(name);
    }
    let known = known.join(", ");
    let what = format!("architecture `{name}` is not supported; there is {known}");
    Err(Error::unsupported(path, what))
}

/// The configuration under Hugging Face's names.
pub(in crate::checkpoint) fn translate(
    path: &str,
    metadata: &Metadata,
    facts: &Facts,
) -> Result<Value> {
    let keys = Keys {
        path,
        metadata,
        architecture: architecture(path, metadata)?,
    };
    let mut config = Map::new();
    add_common(&mut config, &keys, facts)?;
    if keys.architecture == "deepseek2" {
        add_latent_attention(&mut config, &keys)?;
        add_experts(&mut config, &keys, facts)?;
    } else {
        add_dense(&mut config, &keys)?;
    }
    if let Some(scaling) = scaling(&keys, facts)? {
        config.insert("rope_scaling".into(), scaling);
    }
    Ok(Value::Object(config))
}

/// The keys of an architecture.
struct Keys<'m> {
    path: &'m str,
    metadata: &'m Metadata,
    architecture: &'m str,
}

impl Keys<'_> {
    /// A value, read by `read`, which is for `what`; `None` if there is none.
    fn get<T>(
        &self,
        name: &str,
        what: &str,
        read: impl Fn(&MetadataValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let key = format!("{}.{name}", self.architecture);
        let Some(value) = self.metadata.get(&key) else {
            return Ok(None);
        };
        let damaged = || self.damaged(name, &format!("is {}, not {what}", value.brief()));
        read(value).map(Some).ok_or_else(damaged)
    }

    /// A count, or a list with the same count for each layer.
    fn count(&self, name: &str) -> Result<Option<u64>> {
        self.get(name, "a count that is the same for all layers", |value| {
            let Some(list) = value.integers() else {
                return value.as_u64();
            };
            let first = list.first().copied();
            first.filter(|first| list.iter().all(|count| count == first))
        })
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name, "a number", |value| {
            value.as_f64().filter(|number| number.is_finite())
        })
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.get(name, "true or false", MetadataValue::as_bool)
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.get(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    fn damaged(&self, name: &str, is: &str) -> Error {
        let key = format!("{}.{name}", self.architecture);
        Error::damaged(self.path, format!("metadata `{key}` {is}"))
    }

    fn unsupported(&self, name: &str, is: &str) -> Error {
        let key = format!("{}.{name}", self.architecture);
        Error::unsupported(self.path, format!("metadata `{key}` {is}"))
    }
}

/// Adds a field, if there is a value.
fn put(config: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        config.insert(name.into(), value.into());
    }
}

/// Adds the counts that a file has.
fn put_counts(config: &mut Map<String, Value>, keys: &Keys, counts: &[(&str, &str)]) -> Result<()> {
    for (key, field) in counts {
        put(config, field, keys.count(key)?);
    }
    Ok(())
}

fn add_common(config: &mut Map<String, Value>, keys: &Keys, facts: &Facts) -> Result<()> {
    // Hugging Face has two architectures for what is one to llama.cpp: V3 scores by sigmoids.
    let model_type = match keys.architecture {
        "deepseek2" if keys.count("expert_gating_func")? == Some(2) => "deepseek_v3",
        "deepseek2" => "deepseek_v2",
        name => name,
    };
    put(config, "model_type", Some(model_type));
    let vocabulary = match facts.vocabulary {
        Some(rows) => Some(rows as u64),
        None => keys.count("vocab_size")?,
    };
    put(config, "vocab_size", vocabulary);
    put_counts(config, keys, &COUNTS)?;
    // A file with layers of predictions counts them, too.
    let predictions = keys.count("nextn_predict_layers")?;
    let layers = keys.count("block_count")?;
    let layers = layers.map(|layers| layers.saturating_sub(predictions.unwrap_or(0)));
    put(config, "num_hidden_layers", layers);
    put(config, "num_nextn_predict_layers", predictions);
    put(
        config,
        "rms_norm_eps",
        keys.number("attention.layer_norm_rms_epsilon")?,
    );
    put(config, "rope_theta", keys.number("rope.freq_base")?);
    put(config, "hidden_act", Some("silu"));
    put(config, "tie_word_embeddings", Some(!facts.has_output));
    put(config, "attention_bias", Some(facts.has_bias));
    for token in ["bos", "eos"] {
        let id = keys
            .metadata
            .get(&format!("tokenizer.ggml.{token}_token_id"));
        let id = id.and_then(MetadataValue::as_u64);
        put(config, &format!("{token}_token_id"), id);
    }
    Ok(())
}

fn add_dense(config: &mut Map<String, Value>, keys: &Keys) -> Result<()> {
    if keys.count("expert_count")?.is_some_and(|count| count > 0) {
        let what = "is above 0; this architecture is supported without experts";
        return Err(keys.unsupported("expert_count", what));
    }
    let heads = keys.count("attention.head_count")?;
    let pairs = keys.count("attention.head_count_kv")?.or(heads);
    put(config, "num_key_value_heads", pairs);
    let hidden = keys.count("embedding_length")?;
    let whole = |(hidden, heads): (u64, u64)| hidden.checked_div(heads);
    let width = match keys.count("attention.key_length")? {
        Some(width) => Some(width),
        None => hidden.zip(heads).and_then(whole),
    };
    put(config, "head_dim", width);
    for name in ["attention.value_length", "rope.dimension_count"] {
        let other = keys.count(name)?.or(width);
        if let Some((other, width)) = other.zip(width).filter(|(other, width)| other != width) {
            let what = format!("is {other}; only the width of a head, {width}, is supported");
            return Err(keys.unsupported(name, &what));
        }
    }
    if keys.architecture == "llama" {
        // Rows of queries and keys are in the order in which neighbours turn together.
        put(config, "rope_interleave", Some(true));
    }
    Ok(())
}

fn add_latent_attention(config: &mut Map<String, Value>, keys: &Keys) -> Result<()> {
    let length = |name| match keys.count(&format!("attention.{name}_mla"))? {
        Some(length) => Ok(Some(length)),
        // Older files say what newer ones do of the shared latent.
        None => keys.count(&format!("attention.{name}")),
    };
    let rope = keys.count("rope.dimension_count")?;
    let nope = match length("key_length")?.zip(rope) {
        None => None,
        Some((key, rope)) => Some(key.checked_sub(rope).ok_or_else(|| {
            keys.damaged(
                "rope.dimension_count",
                &format!("is {rope} of a key's {key}"),
            )
        })?),
    };
    put_counts(config, keys, &LATENT_COUNTS)?;
    put(config, "qk_nope_head_dim", nope);
    put(config, "qk_rope_head_dim", rope);
    put(config, "v_head_dim", length("value_length")?);
    Ok(())
}

fn add_experts(config: &mut Map<String, Value>, keys: &Keys, facts: &Facts) -> Result<()> {
    let Some(experts) = keys.count("expert_count")?.filter(|&count| count > 0) else {
        return Ok(());
    };
    let scoring = match keys.count("expert_gating_func")? {
        None | Some(0 | 1) => "softmax",
        Some(2) => "sigmoid",
        Some(other) => {
            let what = format!("is {other}; there is 1 (softmax), 2 (sigmoid)");
            return Err(keys.unsupported("expert_gating_func", &what));
        }
    };
    // Older files do not say it, but only a few models have groups.
    let (groups, kept) = match experts {
        256 => (8, 4),
        160 => (8, 3),
        _ => (1, 1),
    };
    let groups = keys.count("expert_group_count")?.unwrap_or(groups);
    let kept = keys.count("expert_group_used_count")?.unwrap_or(kept);
    let method = match facts.has_correction {
        true => "noaux_tc",
        false if groups > 1 => "group_limited_greedy",
        false => "greedy",
    };
    // A scale of 0 is none.
    let scale = keys.number("expert_weights_scale")?;
    let scale = scale.filter(|&scale| scale != 0.0).unwrap_or(1.0);
    put(config, "n_routed_experts", Some(experts));
    put_counts(config, keys, &EXPERT_COUNTS)?;
    let dense = keys.count("leading_dense_block_count")?;
    put(config, "first_k_dense_replace", Some(dense.unwrap_or(0)));
    put(config, "moe_layer_freq", Some(1));
    put(config, "scoring_func", Some(scoring));
    put(config, "topk_method", Some(method));
    put(config, "n_group", Some(groups));
    put(config, "topk_group", Some(kept));
    let normalised = keys.flag("expert_weights_norm")?;
    put(config, "norm_topk_prob", Some(normalised.unwrap_or(false)));
    put(config, "routed_scaling_factor", Some(scale));
    Ok(())
}

/// `rope_scaling`; `None` where frequencies are as they are.
fn scaling(keys: &Keys, facts: &Facts) -> Result<Option<Value>> {
    let factor = keys.number("rope.scaling.factor")?;
    let kind = match keys.text("rope.scaling.type")? {
        Some(kind) => kind,
        None if factor.is_some_and(|factor| factor != 0.0) => "linear".to_owned(),
        None => "none".to_owned(),
    };
    let divisors = facts.divisors.as_ref();
    let divisors = divisors.filter(|_| keys.architecture == "llama");
    match (kind.as_str(), divisors) {
        ("none", None) => Ok(None),
        ("none", Some(divisors)) => {
            let divisors: Vec<_> = divisors.iter().copied().map(f64::from).collect();
            Ok(Some(json!({"rope_type": "divisors", "divisors": divisors})))
        }
        (_, Some(_)) => {
            let what = format!("is {kind:?}, but there is a tensor of divisors, too");
            Err(keys.unsupported("rope.scaling.type", &what))
        }
        ("yarn", None) => yarn(keys, factor).map(Some),
        _ => Ok(Some(json!({"rope_type": kind, "factor": factor}))),
    }
}

fn yarn(keys: &Keys, factor: Option<f64>) -> Result<Value> {
    let mut yarn = Map::new();
    put(&mut yarn, "rope_type", Some("yarn"));
    put(&mut yarn, "factor", factor);
    let original = keys.count("rope.scaling.original_context_length")?;
    put(&mut yarn, "original_max_position_embeddings", original);
    for name in ["beta_fast", "beta_slow"] {
        let beta = keys.number(&format!("rope.scaling.yarn_{name}"))?;
        put(&mut yarn, name, beta);
    }
    // llama.cpp reads the second for a few other architectures only.
    let magnitude = match keys.number("rope.scaling.attn_factor")? {
        Some(magnitude) => Some(magnitude),
        None => keys.number("rope.scaling.yarn_attn_factor")?,
    };
    put(&mut yarn, "attn_factor", magnitude);
    if keys.architecture == "deepseek2" {
        // The file has a tenth of it; a tenth of 0.707 in 32 bits is to be 0.707 again.
        let tenth = keys.number("rope.scaling.yarn_log_multiplier")?;
        let mscale = (tenth.unwrap_or(0.0) * 10.0) as f32;
        let mscale: f64 = mscale.to_string().parse().unwrap_or_default();
        put(&mut yarn, "mscale", Some(mscale));
        put(&mut yarn, "mscale_all_dim", Some(mscale));
    }
    Ok(Value::Object(yarn))
}

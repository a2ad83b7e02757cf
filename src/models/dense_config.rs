//! config.json of Qwen2, Qwen3 and Llama, under its own names, with every number checked.

use super::config::{refuse_activation, refuse_attention_bias, scaling, sized, yarn};
use crate::checkpoint::{Checkpoint, Fields, Rope, RopeScaling};
use crate::error::Result;
use crate::layers::Rotary;
use crate::ops::{MOST_HEAD_COLUMNS, Pairing};

/// Sizes and rules of a model.
#[derive(Debug)]
pub(super) struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub tie_word_embeddings: bool,
    /// Qwen2 adds a bias to queries, keys and values.
    pub has_qkv_bias: bool,
    /// Qwen3 normalises each head's query and key.
    pub has_head_norms: bool,
    pub pairing: Pairing,
    pub rotary: Rotary,
}

impl Config {
    pub(super) fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let fields = checkpoint.fields()?;
        let model_type = fields.str("model_type")?;
        refuse_activation(&fields)?;
        refuse_variants(&fields)?;
        if model_type != "qwen2" {
            refuse_attention_bias(&fields)?;
        }
        let size = |name| sized(&fields, name, 1 << 24);
        let hidden_size = size("hidden_size")?;
        let num_attention_heads = sized(&fields, "num_attention_heads", 4096)?;
        let head_dim = head_dim(&fields, hidden_size, num_attention_heads)?;
        Ok(Self {
            vocab_size: size("vocab_size")?,
            hidden_size,
            intermediate_size: size("intermediate_size")?,
            num_hidden_layers: sized(&fields, "num_hidden_layers", 4096)?,
            num_attention_heads,
            num_key_value_heads: kv_heads(&fields, num_attention_heads)?,
            head_dim,
            max_position_embeddings: sized(&fields, "max_position_embeddings", 1 << 30)?,
            rms_norm_eps: fields.f64_or("rms_norm_eps", 1e-6)?,
            tie_word_embeddings: fields.bool_or("tie_word_embeddings", false)?,
            has_qkv_bias: model_type == "qwen2",
            has_head_norms: model_type == "qwen3",
            // GGUF files of Llama have their rows in the order of the other pairing.
            pairing: if fields.bool_or("rope_interleave", false)? {
                Pairing::Interleaved
            } else {
                Pairing::HalfSplit
            },
            rotary: rotary(&fields, head_dim)?,
        })
    }
}

fn head_dim(fields: &Fields, hidden: usize, heads: usize) -> Result<usize> {
    let head_dim = match fields.optional_usize("head_dim")? {
        Some(head_dim) => head_dim,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let what = format!("is {heads}, which does not divide a hidden_size of {hidden}");
            return Err(fields.damaged("num_attention_heads", &what));
        }
    };
    if head_dim == 0 || head_dim > MOST_HEAD_COLUMNS || !head_dim.is_multiple_of(4) {
        let what = format!("is {head_dim}; multiples of 4 up to {MOST_HEAD_COLUMNS} are supported");
        return Err(fields.unsupported("head_dim", &what));
    }
    Ok(head_dim)
}

fn kv_heads(fields: &Fields, heads: usize) -> Result<usize> {
    let name = "num_key_value_heads";
    let kv_heads = fields.usize_or(name, heads)?;
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        let what = format!("is {kv_heads}, which does not divide {heads} heads");
        return Err(fields.damaged(name, &what));
    }
    Ok(kv_heads)
}

/// The angles, with cosines and sines as large as the authors of R1-0528-Qwen3-8B asked for:
/// `attn_factor` times YaRN's own magnitude, which is 1. transformers leaves `attn_factor` aside.
fn rotary(fields: &Fields, head_dim: usize) -> Result<Rotary> {
    let rope = Rope::new(fields)?;
    let scaling = scaling(&rope);
    let magnitude = match &rope.scaling {
        Some(RopeScaling::Yarn(numbers)) => {
            let own = yarn(numbers).magnitude(1.0);
            numbers.attention_factor.unwrap_or(own) * numbers.attn_factor.unwrap_or(1.0)
        }
        Some(RopeScaling::Divisors(divisors)) if divisors.len() != head_dim / 2 => {
            let what = format!("has {} numbers for {} pairs", divisors.len(), head_dim / 2);
            return Err(fields.damaged("rope_scaling.divisors", &what));
        }
        _ => 1.0,
    };
    Ok(Rotary::new(head_dim, rope.theta, &scaling, magnitude))
}

/// What these families may have and the distilled models do not.
fn refuse_variants(fields: &Fields) -> Result<()> {
    for (name, what) in [
        ("use_sliding_window", "attention over a window"),
        ("mlp_bias", "biases in feed-forward networks"),
    ] {
        if fields.bool_or(name, false)? {
            let what = format!("is true; {what} is not supported");
            return Err(fields.unsupported(name, &what));
        }
    }
    Ok(())
}

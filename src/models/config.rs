//! What the configurations of all architectures share.

use crate::checkpoint::{self, Fields, Rope, RopeScaling};
use crate::error::Result;
use crate::layers::{Llama3, Scaling, Yarn};

/// A size between 1 and `most`.
pub(super) fn sized(fields: &Fields, name: &str, most: usize) -> Result<usize> {
    match fields.usize(name)? {
        0 => Err(fields.damaged(name, "is 0")),
        size if size > most => {
            Err(fields.unsupported(name, &format!("is {size}; up to {most} are supported")))
        }
        size => Ok(size),
    }
}

/// Biases in attention, but for Qwen2's.
pub(super) fn refuse_attention_bias(fields: &Fields) -> Result<()> {
    if fields.bool_or("attention_bias", false)? {
        return Err(fields.unsupported("attention_bias", "is true; attention has no biases here"));
    }
    Ok(())
}

/// Every activation but `SiLU`.
pub(super) fn refuse_activation(fields: &Fields) -> Result<()> {
    match fields.str_or("hidden_act", "silu")? {
        "silu" => Ok(()),
        other => Err(fields.unsupported(
            "hidden_act",
            &format!("is {other:?}; only silu is supported"),
        )),
    }
}

/// YaRN's numbers in the terms of its paper.
pub(super) fn yarn(scaling: &checkpoint::Yarn) -> Yarn {
    Yarn {
        factor: scaling.factor,
        original_context: scaling.original_max_position_embeddings as f64,
        beta_fast: scaling.beta_fast,
        beta_slow: scaling.beta_slow,
    }
}

/// How a configuration changes frequencies.
pub(super) fn scaling(rope: &Rope) -> Scaling {
    match &rope.scaling {
        None => Scaling::None,
        Some(RopeScaling::Yarn(scaling)) => Scaling::Yarn(yarn(scaling)),
        Some(RopeScaling::Llama3(scaling)) => Scaling::Llama3(Llama3 {
            factor: scaling.factor,
            low_turns: scaling.low_freq_factor,
            high_turns: scaling.high_freq_factor,
            original_context: scaling.original_max_position_embeddings as f64,
        }),
        Some(RopeScaling::Divisors(divisors)) => Scaling::Divisors(divisors.clone()),
    }
}

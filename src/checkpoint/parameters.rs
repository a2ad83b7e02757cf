//! How large a model is, from its headers.

use super::scales::SUFFIX;
use super::{Checkpoint, StoredTensor};
use crate::error::Result;

/// How many numbers were learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Of the layers that answer.
    pub total: u64,
    /// Those of them that one token goes through.
    pub active: u64,
    /// Of layers that predict further tokens, which guess and do not answer.
    pub prediction: u64,
}

impl Parameters {
    /// Those of a checkpoint's tensors; scales of FP8 blocks are no parameters.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::error::Error::Damaged) for a config.json that says nonsense.
    pub fn count(checkpoint: &Checkpoint) -> Result<Self> {
        let fields = checkpoint.fields()?;
        let layers = fields
            .optional_usize("num_hidden_layers")?
            .unwrap_or(usize::MAX);
        let chosen = fields.optional_usize("num_experts_per_tok")?;
        let experts = fields.optional_usize("n_routed_experts")?;
        let (mut counted, mut routed) = (Self::default(), 0);
        for tensor in checkpoint
            .tensors()
            .filter(|tensor| !tensor.name.ends_with(SUFFIX))
        {
            let count = tensor.rows() as u64 * tensor.columns() as u64;
            if is_beyond(&tensor, layers) {
                counted.prediction += count;
                continue;
            }
            counted.total += count;
            if tensor.name.contains(".experts.") {
                routed += count;
            }
        }
        let unused = match (chosen, experts) {
            (Some(chosen), Some(experts)) if chosen < experts => {
                (u128::from(routed) * (experts - chosen) as u128 / experts as u128) as u64
            }
            _ => 0,
        };
        counted.active = counted.total - unused;
        Ok(counted)
    }
}

/// Whether a tensor belongs to a layer after the last one that answers.
fn is_beyond(tensor: &StoredTensor, layers: usize) -> bool {
    let layer = tensor
        .name
        .strip_prefix("model.layers.")
        .and_then(|rest| rest.split('.').next());
    layer
        .and_then(|layer| layer.parse().ok())
        .is_some_and(|layer: usize| layer >= layers)
}

//! A prompt's cache, kept for another process.

use sha2::{Digest, Sha256};

use super::{Llm, open_checkpoint};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::formats::Format;

/// Tensors of which some numbers tell a model from others that are built alike.
const SAMPLES: usize = 64;

impl Llm {
    /// What the cache holds of the beginning of `tokens`, for [`Llm::restore_cache`] of another process;
    /// `None` if that is less than a block.
    ///
    /// # Errors
    /// Whatever the device or reading the model's files reports.
    pub async fn save_cache(&mut self, tokens: &[u32]) -> Result<Option<Vec<u8>>> {
        let model = self.fingerprint().await?;
        self.engine.save(&model, tokens).await
    }

    /// Puts the `bytes` that [`Llm::save_cache`] gave into the cache; for how many tokens. Prompts that begin
    /// with them do not run them again.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::error::Error::Damaged) or [`Error::Unsupported`](crate::error::Error::Unsupported), with
    /// `file` named, for bytes that are damaged, or of another model or kind of cache.
    pub async fn restore_cache(&mut self, file: &str, bytes: &[u8]) -> Result<usize> {
        let model = self.fingerprint().await?;
        self.engine.restore(&model, file, bytes)
    }

    async fn fingerprint(&self) -> Result<[u8; 32]> {
        let ignore = self.options.ignore_attn_factor;
        let checkpoint = open_checkpoint(&self.source, ignore).await?;
        fingerprint(&checkpoint, self.options.quantize).await
    }
}

/// A number that other weights, another configuration or another way of packing change.
async fn fingerprint(checkpoint: &Checkpoint, quantize: Option<&Format>) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    hasher.update(checkpoint.config().to_string());
    hasher.update(quantize.map_or("as stored", |format| format.name));
    let mut tensors: Vec<_> = checkpoint.tensors().collect();
    tensors.sort_unstable_by_key(|tensor| tensor.name);
    let every = tensors.len().div_ceil(SAMPLES).max(1);
    for (nth, tensor) in tensors.iter().enumerate() {
        hasher.update(tensor.name);
        hasher.update(format!("{:?}", tensor.shape));
        hasher.update(tensor.bytes().to_le_bytes());
        if nth % every == 0 && tensor.rows() > 0 {
            let row = tensor.rows() / 2;
            hasher.update(tensor.read_row_bytes(row..row + 1).await?);
        }
    }
    Ok(hasher.finalize().into())
}

//! What tells a model from others.

use super::{Llm, open_checkpoint, open_source};
use crate::checkpoint::{Checkpoint, Parameters, sha256};
use crate::error::Result;

/// How large a model is and how its weights are stored on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Of the layers that answer.
    pub parameters: u64,
    /// The format of most bytes of weights, such as `q4_k`.
    pub format: String,
}

impl Llm {
    /// What it is, by the headers of its files.
    ///
    /// # Errors
    /// Those of reading them again.
    pub async fn card(&self) -> Result<Card> {
        let checkpoint = open_checkpoint(&self.source, false).await?;
        let packed = self.options.quantize.map(|format| format.name.to_owned());
        Ok(Card {
            parameters: Parameters::count(&checkpoint)?.total,
            format: packed.unwrap_or_else(|| stored_format(&checkpoint)),
        })
    }
}

/// The encoding of most bytes.
fn stored_format(checkpoint: &Checkpoint) -> String {
    let encodings = checkpoint.encodings().into_iter();
    let most = encodings.max_by_key(|(_, [_, bytes])| *bytes);
    most.map_or_else(String::new, |(name, _)| name.to_lowercase())
}

/// SHA-256 of the file with the weights of what `model` names; `None` if there are several. Reads all of it.
///
/// # Errors
/// As [`open_source`] and [`Checkpoint::open`], and those of reading.
pub async fn weights_sha256(model: &str) -> Result<Option<String>> {
    let source = open_source(model)?;
    let checkpoint = Checkpoint::open(source.clone()).await?;
    match checkpoint.shards() {
        [file] => Ok(Some(sha256(&*source, file).await?)),
        _ => Ok(None),
    }
}

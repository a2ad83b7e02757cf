//! From the headers of GGUF files to a checkpoint.

use std::rc::Rc;

use serde_json::Value;

use super::config::{Facts, translate};
use super::{Contents, DIVISORS, MOST_DIVISORS};
use crate::checkpoint::{Checkpoint, Source};
use crate::error::{Error, Result};

impl Checkpoint {
    /// Reads the headers of the files of the model that `file` belongs to.
    pub(in crate::checkpoint) async fn open_gguf(
        source: Rc<dyn Source>,
        file: &str,
    ) -> Result<Self> {
        let Contents { metadata, files } = super::read(&*source, file).await?;
        let mut checkpoint = Self::new(source, Value::Null, file);
        for (index, (file, tensors)) in files.into_iter().enumerate() {
            if index == 0 {
                checkpoint.contents.clone_from(&file);
            }
            checkpoint.add_shard(&file, tensors)?;
        }
        let facts = checkpoint.facts().await?;
        checkpoint.config = translate(&checkpoint.contents(), &metadata, &facts)?;
        checkpoint.metadata = Some(metadata);
        Ok(checkpoint)
    }

    /// What a GGUF file's tensors say of its configuration.
    async fn facts(&self) -> Result<Facts> {
        let has = |name| self.tensors.contains_key(name);
        let table = self.tensor("model.embed_tokens.weight");
        let divisors = match self.tensor(DIVISORS) {
            Some(tensor) if tensor.columns() > MOST_DIVISORS || tensor.rows() > 1 => {
                let what = format!("tensor `{}` has the shape {:?}", tensor.name, tensor.shape);
                return Err(Error::damaged(tensor.path(), what));
            }
            Some(tensor) => Some(tensor.read_all().await?),
            None => None,
        };
        Ok(Facts {
            vocabulary: table.map(|table| table.rows()),
            has_output: has("lm_head.weight"),
            has_bias: has("model.layers.0.self_attn.q_proj.bias"),
            has_correction: self
                .tensors
                .keys()
                .any(|name| name.ends_with("e_score_correction_bias")),
            divisors,
        })
    }
}

//! Names of tensors as a tree. Never reads one.

use std::fmt::Display;

use super::{Checkpoint, StoredTensor};
use crate::error::{Error, Result};

/// The tensors of a checkpoint whose names start with the same words.
#[derive(Clone)]
pub struct Scope<'c> {
    checkpoint: &'c Checkpoint,
    /// Empty, or ends with a dot.
    prefix: String,
}

impl<'c> Scope<'c> {
    pub(super) fn new(checkpoint: &'c Checkpoint) -> Self {
        Self {
            checkpoint,
            prefix: String::new(),
        }
    }

    /// The scope one word further inside: `layers.enter(3)`.
    #[must_use]
    pub fn enter(&self, word: impl Display) -> Self {
        Self {
            checkpoint: self.checkpoint,
            prefix: format!("{}{word}.", self.prefix),
        }
    }

    /// Whether there is a tensor called `name` here.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.tensor(&self.full_name(name)).is_some()
    }

    /// The tensor called `name` here, which config.json says must have `shape`.
    ///
    /// [`Error::Damaged`] when there is none, or its shape is another.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<StoredTensor<'c>> {
        let name = self.full_name(name);
        let Some(tensor) = self.checkpoint.tensor(&name) else {
            let what = format!("has no tensor `{name}`, which config.json calls for");
            return Err(Error::damaged(self.checkpoint.contents(), what));
        };
        if tensor.shape == shape {
            Ok(tensor)
        } else {
            let what = format!(
                "tensor `{name}` has the shape {:?}, but config.json calls for {shape:?}",
                tensor.shape
            );
            Err(Error::damaged(tensor.path(), what))
        }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

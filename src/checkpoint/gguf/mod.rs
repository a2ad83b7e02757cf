//! GGUF files as the checkpoints that they were made from: Hugging Face's names, fields and texts.
//!
//! Everything comes out of the files' metadata; never reads weights.

mod config;
mod container;
mod describe;
mod metadata;
mod names;
mod open;
mod pretokenizer;
mod reader;
mod set;
mod tensors;
mod tokenizer;
mod vocabulary;
mod write;

use std::collections::BTreeMap;

use super::source::Source;
use super::tensor::Location;
use crate::error::Result;

pub(super) use self::describe::{describe, divisors};
pub use self::metadata::{Metadata, MetadataValue};
pub use self::names::{GgufName, gguf_architecture, gguf_name};
pub use self::set::is_model_file;
pub(super) use self::set::only_model;
pub(super) use self::tokenizer::text;
pub(super) use self::write::{ALIGNMENT, NewInfo, header};

/// The tensor of numbers that frequencies are divided by.
pub(super) const DIVISORS: &str = "rope_freqs.weight";

/// The most divisors that make sense: half the widest head.
const MOST_DIVISORS: usize = 4096;

/// A model's metadata, and its files with their tensors.
struct Contents {
    metadata: Metadata,
    files: Vec<(String, BTreeMap<String, Location>)>,
}

/// Reads the headers of all files of the model that `file` belongs to.
async fn read(source: &dyn Source, file: &str) -> Result<Contents> {
    let mut parts = set::read_set(source, file).await?;
    // Only the first part has the model's metadata.
    let (_, first) = &mut parts[0];
    let metadata = std::mem::take(&mut first.metadata);
    let architecture = config::architecture(&first.path, &metadata)?;
    let mut files = Vec::new();
    for (file, header) in &parts {
        files.push((file.clone(), tensors::locate(header, architecture)?));
    }
    Ok(Contents { metadata, files })
}

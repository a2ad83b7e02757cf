//! `--cache-file`: what a prompt leaves in the cache, kept for the next process.

use std::io::ErrorKind;
use std::path::Path;

use tiefsee::engine::BLOCK;
use tiefsee::{Completion, Error, Llm, Result};

use super::output;

/// Puts into the cache what the file holds; for how many tokens.
///
/// # Errors
/// [`Error::Io`], and [`Error::Damaged`] or [`Error::Unsupported`] for a file that is not of this model's cache.
pub(crate) fn load(llm: &mut Llm, path: &Path) -> Result<usize> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    pollster::block_on(llm.restore_cache(&file, &bytes))
}

/// The same for a file that need not be there yet.
///
/// # Errors
/// As [`load`], and [`Error::NotFound`] where it could not be written.
pub(crate) fn load_if_there(llm: &mut Llm, path: &Path) -> Result<()> {
    match load(llm, path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            output::check_folder(path)
        }
        loaded => loaded.map(|_| ()),
    }
}

/// Writes the prompt's cache to the file, unless all of it was there already.
///
/// # Errors
/// What reading the cache and writing the file fail with.
pub(crate) fn save(llm: &mut Llm, path: &Path, prompt: &[u32], done: &Completion) -> Result<()> {
    // The last token runs even if it is there.
    if done.usage.cached_tokens / BLOCK >= (prompt.len() - 1) / BLOCK {
        return Ok(());
    }
    let Some(bytes) = pollster::block_on(llm.save_cache(prompt))? else {
        return Ok(());
    };
    output::write_file(path, |part| {
        std::fs::write(part, &bytes).map_err(|source| Error::Io {
            path: part.to_owned(),
            source,
        })
    })
}

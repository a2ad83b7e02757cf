//! The hashes of a checkpoint's files, chunk by chunk: `tiefsee-manifest.json`.
//!
//! Whoever fetches the files over a network checks each part as it comes. Never says what is in them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Source;
use super::source::{path, read_exactly};
use crate::error::{Error, Result};

/// What the file is called.
pub const MANIFEST: &str = "tiefsee-manifest.json";
const VERSION: u32 = 1;
/// Bytes of a chunk: few enough to fetch again when one is wrong, enough for a hash to weigh nothing.
const CHUNK: u64 = 4 << 20;

/// SHA-256 of a whole file, in hexadecimal, as it is often published beside one.
///
/// # Errors
/// Those of reading.
pub async fn sha256(source: &dyn Source, file: &str) -> Result<String> {
    let size = source.size(file).await?.unwrap_or(0);
    let mut hasher = Sha256::new();
    read_chunks(source, file, size, |chunk| hasher.update(chunk)).await?;
    Ok(hexadecimal(&hasher.finalize()))
}

/// Reads a file of `size` bytes from its beginning to its end, a chunk at a time.
async fn read_chunks(
    source: &dyn Source,
    file: &str,
    size: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    let mut start = 0;
    while start < size {
        let end = size.min(start + CHUNK);
        each(&read_exactly(source, file, start..end).await?);
        start = end;
    }
    Ok(())
}

/// The hashes of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// Bytes of each chunk but a file's last.
    chunk_bytes: u64,
    files: BTreeMap<String, Hashes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashes {
    size: u64,
    /// Of each chunk, in hexadecimal.
    sha256: Vec<String>,
}

impl Manifest {
    /// The hashes of `files`; those that do not exist are left out. `progress` is told the bytes of
    /// each chunk.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn of(
        source: &dyn Source,
        files: &[&str],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let mut manifest = Self {
            version: VERSION,
            chunk_bytes: CHUNK,
            files: BTreeMap::new(),
        };
        for &file in files {
            let Some(size) = source.size(file).await? else {
                continue;
            };
            let mut sha256 = Vec::new();
            read_chunks(source, file, size, |chunk| {
                sha256.push(hexadecimal(&Sha256::digest(chunk)));
                progress(chunk.len() as u64);
            })
            .await?;
            let hashes = Hashes { size, sha256 };
            manifest.files.insert(file.to_owned(), hashes);
        }
        Ok(manifest)
    }

    /// Reads a manifest's text, which messages call `file`.
    ///
    /// # Errors
    /// [`Error::Damaged`] for what is none, [`Error::Unsupported`] for another version.
    pub fn from_json(file: &str, json: &str) -> Result<Self> {
        let manifest: Self =
            serde_json::from_str(json).map_err(|error| Error::damaged(file, error.to_string()))?;
        if manifest.version != VERSION || manifest.chunk_bytes != CHUNK {
            let Self {
                version,
                chunk_bytes,
                ..
            } = manifest;
            let what = format!(
                "has version {version} and chunks of {chunk_bytes} bytes; this tiefsee knows version \
                 {VERSION} and {CHUNK} bytes"
            );
            return Err(Error::unsupported(file, what));
        }
        Ok(manifest)
    }

    /// The manifest's text.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("numbers and texts are always JSON") + "\n"
    }

    /// The files in it.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Compares with `found`, the hashes of what is in `source`.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first file and bytes that differ.
    pub fn check(&self, source: &dyn Source, found: &Self) -> Result<()> {
        for (file, expected) in &self.files {
            let damaged = |what: String| Err(Error::damaged(path(source, file), what));
            let Some(found) = found.files.get(file) else {
                return damaged(format!("no such file, but {MANIFEST} lists it"));
            };
            if found.size != expected.size {
                let what = "bytes, but the manifest says";
                return damaged(format!("has {} {what} {}", found.size, expected.size));
            }
            let differs = |(found, expected): (&String, &String)| found != expected;
            let pairs = found.sha256.iter().zip(&expected.sha256);
            if let Some(chunk) = pairs.into_iter().position(differs) {
                let start = chunk as u64 * CHUNK;
                let end = found.size.min(start + CHUNK);
                return damaged(format!(
                    "bytes {start} to {end} have another SHA-256 than {MANIFEST} says"
                ));
            }
            if found.sha256.len() != expected.sha256.len() {
                return damaged(format!("{MANIFEST} has too many or too few hashes of it"));
            }
        }
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

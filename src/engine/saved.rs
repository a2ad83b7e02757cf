//! What the cache holds of a prompt, as bytes that another process goes on from.
//!
//! A magic, the header's numbers and the prompt's ids, then block after block the rows of every layer, then
//! the SHA-256 of all that. Numbers are little-endian.

use sha2::{Digest, Sha256};

use super::{BLOCK, BlockHash, Engine};
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"tiefseeC";
const VERSION: u32 = 1;
/// Bytes of a SHA-256.
const DIGEST: usize = 32;

impl Engine {
    /// The full blocks that the cache holds of the beginning of `tokens`, as [`Engine::restore`] reads them;
    /// `None` if there are none. `model` tells this model's caches from others.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn save(&mut self, model: &[u8; DIGEST], tokens: &[u32]) -> Result<Option<Vec<u8>>> {
        let blocks = self.scheduler.hold(tokens);
        let saved = self.save_blocks(model, tokens, &blocks).await;
        self.scheduler.release(blocks);
        saved
    }

    async fn save_blocks(
        &self,
        model: &[u8; DIGEST],
        tokens: &[u32],
        blocks: &[u32],
    ) -> Result<Option<Vec<u8>>> {
        if blocks.is_empty() {
            return Ok(None);
        }
        let tokens = &tokens[..blocks.len() * BLOCK];
        let mut bytes = self.header(model);
        bytes.extend((tokens.len() as u32).to_le_bytes());
        bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
        for hash in BlockHash::chain(tokens) {
            bytes.extend(hash.bytes());
        }
        for &block in blocks {
            bytes.extend(self.runner.read_block(block).await?);
        }
        bytes.extend(Sha256::digest(&bytes));
        Ok(Some(bytes))
    }

    /// Puts what `file` holds into the cache, as far as there is room, for prompts that begin alike; how many
    /// tokens.
    ///
    /// # Errors
    /// [`Error::Damaged`] for bytes that [`Engine::save`] did not make, [`Error::Unsupported`] for those of
    /// another model, kind of cache or version. Nothing of them is used then.
    pub fn restore(&mut self, model: &[u8; DIGEST], file: &str, bytes: &[u8]) -> Result<usize> {
        let header = self.header(model);
        check_header(file, bytes, &header)?;
        let damaged = |what: &str| Error::damaged(file, what);
        let (bytes, digest) = bytes
            .split_last_chunk::<DIGEST>()
            .ok_or_else(|| damaged("it ends too early"))?;
        if Sha256::digest(bytes)[..] != digest[..] {
            return Err(damaged("its checksum is wrong"));
        }
        let rest = &bytes[header.len().min(bytes.len())..];
        let (tokens, rest) = tokens(rest).ok_or_else(|| damaged("its tokens are cut off"))?;
        let hashes: Vec<u8> = BlockHash::chain(&tokens)
            .flat_map(BlockHash::bytes)
            .collect();
        let Some(rows) = rest.strip_prefix(&hashes[..]) else {
            return Err(damaged("its blocks are not those of its tokens"));
        };
        let block_bytes = self.runner.block_bytes();
        let blocks = tokens.len() / BLOCK;
        if blocks * BLOCK != tokens.len() || rows.len() != blocks * block_bytes {
            return Err(damaged("its blocks are not as long as its tokens"));
        }
        let vocabulary = self.runner.shape().vocabulary;
        if tokens.iter().any(|&token| token as usize >= vocabulary) {
            return Err(damaged("its tokens are not the model's"));
        }
        let filled = self.scheduler.fill(&tokens);
        for (&(block, is_new), rows) in filled.iter().zip(rows.chunks_exact(block_bytes)) {
            if is_new {
                self.runner.write_block(block, rows);
            }
        }
        let count = filled.len() * BLOCK;
        let blocks = filled.into_iter().map(|(block, _)| block);
        self.scheduler.release(blocks.collect());
        Ok(count)
    }

    /// What files of this engine begin with.
    fn header(&self, model: &[u8; DIGEST]) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(model);
        let mut kind = self.runner.cache_type().name.as_bytes().to_vec();
        kind.resize(8, 0);
        header.extend(kind);
        header.extend((BLOCK as u32).to_le_bytes());
        header.extend((self.runner.block_bytes() as u64).to_le_bytes());
        header
    }
}

/// Refuses what does not begin with `header`, and says why.
fn check_header(file: &str, bytes: &[u8], header: &[u8]) -> Result<()> {
    if !bytes.starts_with(MAGIC) {
        return Err(Error::damaged(file, "it is no saved cache"));
    }
    let parts = [
        (12, "it is of another version of tiefsee"),
        (12 + DIGEST, "it is the cache of another model"),
        (header.len(), "it is another kind of cache"),
    ];
    for (end, what) in parts {
        if bytes.len() < end {
            return Err(Error::damaged(file, "it ends too early"));
        }
        if bytes[..end] != header[..end] {
            return Err(Error::unsupported(file, what));
        }
    }
    Ok(())
}

/// A number of ids, these ids, and what follows.
fn tokens(bytes: &[u8]) -> Option<(Vec<u32>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (ids, rest) = rest.split_at_checked(count.checked_mul(4)?)?;
    let id = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    Some((ids.chunks_exact(4).map(id).collect(), rest))
}

//! Tokens to text while they come, one at a time.
//!
//! Never splits a character and never takes back text that was given out.

use std::sync::Arc;

use super::tokenizer::Specials;
use super::tokenizer::Tokenizer;

/// Decodes the tokens of one answer; the pieces joined are [`Tokenizer::decode`] of all of them.
#[derive(Debug)]
pub struct TextStream {
    tokenizer: Arc<Tokenizer>,
    specials: Specials,
    /// The beginning of a character whose other bytes have not come.
    pending: Vec<u8>,
}

impl TextStream {
    /// A stream that shows special tokens as `specials` says.
    pub fn new(tokenizer: Arc<Tokenizer>, specials: Specials) -> Self {
        Self {
            tokenizer,
            specials,
            pending: Vec::new(),
        }
    }

    /// The text that this token completes, often empty inside a multi-byte character.
    pub fn push(&mut self, token: u32) -> String {
        self.tokenizer
            .append_bytes(token, self.specials, &mut self.pending);
        let bytes = std::mem::take(&mut self.pending);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let last = chunks.peek().is_none();
            if last && is_incomplete(chunk.invalid()) {
                self.pending = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// The rest: U+FFFD if the last character never became whole.
    pub fn finish(&mut self) -> String {
        let bytes = std::mem::take(&mut self.pending);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Whether more bytes could make these, the last that came, a character.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

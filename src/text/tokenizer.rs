//! Text to token ids and back, for byte-level BPE in the Hugging Face format.
//!
//! Never adds tokens of its own: the beginning-of-sentence token comes from the chat template.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::TokenizerBuilder;
use tokenizers::TokenizerImpl;
use tokenizers::models::bpe::BPE;
use tokenizers::models::bpe::Merges;
use tokenizers::models::bpe::Vocab;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::added::AddedToken;
use super::added::AddedTokens;
use super::added::Segment;
use super::steps::Cuts;
use super::steps::Normalization;
use crate::error::Error;
use crate::error::Result;

/// What decoding does with the tokens that the tokenizer file marks as special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// All of them appear in the text.
    Keep,
    /// Only those appear in the text that tell its parts apart: `<think>`, `</think>`, and the markers
    /// of tools.
    KeepStructure,
    /// None of them appears in the text.
    Skip,
}

/// A vocabulary with its rules for cutting text into tokens.
#[derive(Debug)]
pub struct Tokenizer {
    bytes: TokenizerImpl<BPE, Normalization, Cuts, ByteLevel, ByteLevel>,
    added: AddedTokens,
    vocabulary: usize,
}

/// tokenizer.json, as far as its model is byte-pair encoding.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: Vocab,
    merges: Vec<Merge>,
    #[serde(default)]
    ignore_merges: bool,
}

/// Newer files write a merge as a pair, older ones with a space between the two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// The parts that decide whether the file can be read at all.
#[derive(Deserialize)]
struct Kind {
    decoder: Option<Value>,
    model: ModelKind,
}

#[derive(Deserialize)]
struct ModelKind {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

impl Tokenizer {
    /// Reads tokenizer.json, whose name is `file`, for a model with `vocabulary` ids.
    ///
    /// [`Error::Damaged`] for broken JSON, merges and ids; [`Error::Unsupported`] for anything but
    /// byte-level BPE.
    pub fn from_json(file: &str, json: &[u8], vocabulary: usize) -> Result<Self> {
        let damaged = |error: serde_json::Error| Error::damaged(file, error.to_string());
        let kind: Kind = serde_json::from_slice(json).map_err(damaged)?;
        check_kind(file, &kind)?;
        let parsed: File = serde_json::from_slice(json).map_err(damaged)?;
        check_ids(file, &parsed, vocabulary)?;

        let bpe = BPE::builder()
            .vocab_and_merges(parsed.model.vocab, merges(file, parsed.model.merges)?)
            .ignore_merges(parsed.model.ignore_merges)
            .build()
            .map_err(|error| Error::damaged(file, format!("merges: {error}")))?;
        let normalization = Normalization::new(file, parsed.normalizer.as_ref())?;
        let cuts = Cuts::new(file, parsed.pre_tokenizer.as_ref())?;
        let bytes = TokenizerBuilder::new()
            .with_model(bpe)
            .with_normalizer(Some(normalization))
            .with_pre_tokenizer(Some(cuts))
            .build()
            .map_err(|error| Error::Internal(format!("tokenizer: {error}")))?;
        let added = AddedTokens::new(file, parsed.added_tokens)?;
        Ok(Self {
            bytes,
            added,
            vocabulary,
        })
    }

    /// The ids of a plain text, in which the strings of special tokens are ordinary writing.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        for segment in self.added.writing.split(text) {
            match segment {
                Segment::Token(token) => tokens.push(token),
                Segment::Text(text) => {
                    let encoding = self.bytes.encode_fast(text, false);
                    let encoding =
                        encoding.map_err(|error| Error::Internal(format!("tokenizer: {error}")))?;
                    tokens.extend_from_slice(encoding.get_ids());
                }
            }
        }
        Ok(tokens)
    }

    /// The ids of a prompt in which the strings of special tokens are those tokens.
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_segments(text, |text| self.encode(text))
    }

    /// Like [`Self::encode_with_specials`], with the text between the markers encoded by `encode`.
    pub(super) fn encode_segments(
        &self,
        text: &str,
        encode: impl Fn(&str) -> Result<Vec<u32>>,
    ) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        for segment in self.segments(text) {
            match segment {
                Segment::Token(token) => tokens.push(token),
                Segment::Text(text) => tokens.append(&mut encode(text)?),
            }
        }
        Ok(tokens)
    }

    /// The text cut at its markers.
    pub(super) fn segments<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        self.added.markers.split(text)
    }

    /// The strings of all markers.
    pub(super) fn markers(&self) -> impl Iterator<Item = &str> {
        self.added.markers.contents()
    }

    /// The ids of all markers: no text makes them.
    pub fn marker_ids(&self) -> impl Iterator<Item = u32> {
        self.added.markers.ids()
    }

    /// The id of a special token such as `<think>`, by its string.
    pub fn special(&self, content: &str) -> Option<u32> {
        self.added.marker(content)
    }

    /// The text of some tokens; what is not UTF-8 becomes U+FFFD, unknown ids become nothing.
    pub fn decode(&self, tokens: &[u32], specials: Specials) -> String {
        let mut bytes = Vec::new();
        for &token in tokens {
            self.append_bytes(token, specials, &mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for, a special one's too; none for an unknown one.
    pub fn token_bytes(&self, token: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_bytes(token, Specials::Keep, &mut bytes);
        bytes
    }

    /// Appends the bytes that a token stands for.
    pub(super) fn append_bytes(&self, token: u32, specials: Specials, bytes: &mut Vec<u8>) {
        if let Some(added) = self.added.get(token) {
            let kept = match specials {
                Specials::Keep => true,
                Specials::KeepStructure => !added.special || added.is_structure(),
                Specials::Skip => !added.special,
            };
            if kept {
                bytes.extend_from_slice(added.content.as_bytes());
            }
        } else if let Some(text) = self.bytes.id_to_token(token) {
            let start = bytes.len();
            for c in text.chars() {
                let Some(byte) = byte_of(c) else {
                    bytes.truncate(start);
                    bytes.extend_from_slice(text.as_bytes());
                    return;
                };
                bytes.push(byte);
            }
        }
    }

    /// The number of ids of the model; every id of this tokenizer is below it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

fn check_kind(file: &str, kind: &Kind) -> Result<()> {
    let model = &kind.model;
    let name = model.kind.as_deref().unwrap_or("BPE");
    if name != "BPE" {
        return Err(Error::unsupported(
            file,
            format!("model {name:?}; there is BPE"),
        ));
    }
    let affix = |affix: &Option<String>| affix.as_ref().is_some_and(|text| !text.is_empty());
    if model.byte_fallback
        || affix(&model.continuing_subword_prefix)
        || affix(&model.end_of_word_suffix)
        || !kind.decoder.as_ref().is_none_or(is_byte_level)
    {
        let what = "a BPE that does not work on bytes alone; there is byte-level BPE";
        return Err(Error::unsupported(file, what));
    }
    Ok(())
}

fn is_byte_level(decoder: &Value) -> bool {
    decoder["type"] == "ByteLevel"
        || decoder["type"] == "Sequence"
            && decoder["decoders"]
                .as_array()
                .is_some_and(|steps| steps.len() == 1 && is_byte_level(&steps[0]))
}

/// Refuses ids that the model has no row for, ids given twice, and two ids for one text.
fn check_ids(file: &str, parsed: &File, vocabulary: usize) -> Result<()> {
    let vocab = &parsed.model.vocab;
    let pieces = vocab.iter().map(|(text, id)| (text, *id));
    let added = parsed
        .added_tokens
        .iter()
        .map(|token| (&token.content, token.id));
    for (text, id) in pieces.chain(added) {
        if id as usize >= vocabulary {
            let what = format!("{text:?} has id {id}, but the model has {vocabulary} ids");
            return Err(Error::damaged(file, what));
        }
    }
    let mut seen = HashSet::with_capacity(vocab.len());
    if let Some((text, id)) = vocab.iter().find(|(_, id)| !seen.insert(**id)) {
        return Err(Error::damaged(
            file,
            format!("{text:?} has id {id}, as another token has"),
        ));
    }
    let named = |token: &&AddedToken| vocab.get(&token.content).is_some_and(|id| *id != token.id);
    if let Some(token) = parsed.added_tokens.iter().find(named) {
        let (text, id) = (&token.content, token.id);
        let what = format!("{text:?} has id {id} in added_tokens and another in vocab");
        return Err(Error::damaged(file, what));
    }
    Ok(())
}

fn merges(file: &str, merges: Vec<Merge>) -> Result<Merges> {
    let pairs = merges
        .into_iter()
        .enumerate()
        .map(|(rank, merge)| match merge {
            Merge::Pair(left, right) => Ok((left, right)),
            Merge::Line(line) => match line.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => {
                    Ok((left.to_owned(), right.to_owned()))
                }
                _ => Err(Error::damaged(
                    file,
                    format!("merge {rank} is not a pair: {line:?}"),
                )),
            },
        });
    pairs.collect()
}

/// The byte that a character of the vocabulary stands for, or none for other characters.
///
/// Byte-level BPE writes printable Latin-1 as itself and the other 68 bytes, in order, from U+0100.
fn byte_of(c: char) -> Option<u8> {
    let code = c as u32;
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121 => 0x7f,
        0x122..=0x142 => code - 0x122 + 0x80,
        0x143 => 0xad,
        _ => return None,
    };
    Some(byte as u8)
}

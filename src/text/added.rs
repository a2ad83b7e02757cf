//! The tokens a tokenizer file adds beside its merges, and where they stand in a text.
//!
//! Never merges bytes: what lies between added tokens is the byte-pair encoder's.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;
use aho_corasick::MatchKind;
use serde::Deserialize;

use super::END_THINK;
use super::THINK;
use crate::error::Error;
use crate::error::Result;

/// An entry of `added_tokens` in tokenizer.json.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the fields of the file"
)]
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    pub(super) special: bool,
}

impl AddedToken {
    /// Whether the token is markup that a user's text must not be able to spell.
    ///
    /// Checkpoints mark turn tokens as special or not as they please, so the rule is the other way
    /// round: only tokens that are plainly a piece of writing (a letter, a word, a run of spaces)
    /// are harmless.
    fn is_marker(&self) -> bool {
        let one_character = self.content.chars().nth(1).is_none();
        let plain = |c: char| c.is_alphanumeric() || c.is_whitespace();
        self.special || !(one_character || self.content.chars().all(plain))
    }

    /// Whether the token tells parts of an answer apart: reasoning, calls of tools.
    pub(super) fn is_structure(&self) -> bool {
        let is_about_tools = ["tool", "DSML"]
            .iter()
            .any(|word| self.content.contains(word));
        self.content == THINK || self.content == END_THINK || is_about_tools
    }
}

/// A part of a text: a token that was spelled out, or text without such tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    Token(u32),
    Text(&'t str),
}

/// A set of added tokens that can be found in a text.
#[derive(Debug)]
pub(super) struct Finder {
    tokens: Vec<AddedToken>,
    automaton: AhoCorasick,
}

impl Finder {
    fn new(file: &str, tokens: Vec<AddedToken>) -> Result<Self> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| &token.content))
            .map_err(|error| Error::damaged(file, format!("added_tokens: {error}")))?;
        Ok(Self { tokens, automaton })
    }

    /// The text cut at every token of the set, the leftmost and longest first.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        let mut segments = Vec::new();
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            let token = &self.tokens[found.pattern().as_usize()];
            let Some((start, end)) = extent(token, text, found.start(), found.end(), done) else {
                continue;
            };
            if done < start {
                segments.push(Segment::Text(&text[done..start]));
            }
            segments.push(Segment::Token(token.id));
            done = end;
        }
        if done < text.len() {
            segments.push(Segment::Text(&text[done..]));
        }
        segments
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().map(|token| token.id)
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.content.as_str())
    }
}

/// The bytes a found token takes with the spaces it swallows, or none where it does not count:
/// inside a word if it must stand alone, or in spaces that the token before has swallowed.
fn extent(
    token: &AddedToken,
    text: &str,
    mut start: usize,
    mut end: usize,
    done: usize,
) -> Option<(usize, usize)> {
    if start < done {
        return None;
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if token.single_word && (text[..start].ends_with(word) || text[end..].starts_with(word)) {
        return None;
    }
    if token.lstrip {
        start = done + text[done..start].trim_end().len();
    }
    if token.rstrip {
        end = text.len() - text[end..].trim_start().len();
    }
    Some((start, end))
}

/// All added tokens of a tokenizer.
#[derive(Debug)]
pub(super) struct AddedTokens {
    by_id: HashMap<u32, AddedToken>,
    /// Markup: turns, reasoning, tools.
    pub(super) markers: Finder,
    /// Added pieces of plain writing, which count in any text.
    pub(super) writing: Finder,
}

impl AddedTokens {
    /// Sorts the tokens of `file`; those with an id twice or a text twice are an error.
    pub(super) fn new(file: &str, tokens: Vec<AddedToken>) -> Result<Self> {
        let mut by_id = HashMap::new();
        let mut by_content = HashMap::new();
        let mut markers = Vec::new();
        let mut writing = Vec::new();
        for token in tokens.into_iter().filter(|token| !token.content.is_empty()) {
            let before = by_content.insert(token.content.clone(), token.id);
            if before == Some(token.id) {
                continue;
            }
            if before.is_some() || by_id.contains_key(&token.id) {
                let what = format!(
                    "added_tokens: {:?} with id {} contradicts another entry",
                    token.content, token.id
                );
                return Err(Error::damaged(file, what));
            }
            by_id.insert(token.id, token.clone());
            if token.is_marker() {
                markers.push(token);
            } else {
                writing.push(token);
            }
        }
        Ok(Self {
            by_id,
            markers: Finder::new(file, markers)?,
            writing: Finder::new(file, writing)?,
        })
    }

    pub(super) fn get(&self, id: u32) -> Option<&AddedToken> {
        self.by_id.get(&id)
    }

    /// The id of a marker by its exact text.
    pub(super) fn marker(&self, content: &str) -> Option<u32> {
        let mut tokens = self.markers.tokens.iter();
        tokens
            .find(|token| token.content == content)
            .map(|token| token.id)
    }
}

//! Keeps what users write from being taken for a template's markup.
//!
//! A template sees every character of a content but the first of each special string, which a
//! private-use character stands for until the text is cut into tokens. Lengths, slices, splits and
//! trims work as ever, and the template's own markup is told from a user's by that one character.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use aho_corasick::AhoCorasick;
use aho_corasick::Input;
use aho_corasick::MatchKind;

use super::END_THINK;
use super::THINK;
use super::tokenizer::Tokenizer;
use crate::error::Error;
use crate::error::Result;

const PRIVATE: RangeInclusive<char> = '\u{e000}'..='\u{f8ff}';

/// The stand-ins of one conversation.
pub(super) struct Shield {
    markers: Vec<String>,
    automaton: AhoCorasick,
    longest: usize,
    /// Private-use characters that occur in the conversation or in the template.
    taken: HashSet<char>,
    /// Stand-ins with what they stand for.
    stand_ins: Vec<(char, char)>,
}

impl Shield {
    /// A shield for all markers of a tokenizer; `texts` are the template and all contents.
    pub(super) fn new<'t>(
        tokenizer: &Tokenizer,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Self> {
        let mut markers: Vec<String> = tokenizer.markers().map(str::to_owned).collect();
        for think in [THINK, END_THINK] {
            if !markers.iter().any(|marker| marker == think) {
                markers.push(think.to_owned());
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&markers)
            .map_err(|error| Error::Internal(format!("special tokens: {error}")))?;
        let taken = texts
            .flat_map(str::chars)
            .filter(|c| PRIVATE.contains(c))
            .collect();
        let longest = markers.iter().map(String::len).max().unwrap_or(0);
        Ok(Self {
            markers,
            automaton,
            longest,
            taken,
            stand_ins: Vec::new(),
        })
    }

    /// A content with stand-ins, for a template to work on.
    ///
    /// With `keep_think` the reasoning markers stay: templates look for them in what the model
    /// said to drop it from the history.
    pub(super) fn cover<'t>(&mut self, content: &'t str, keep_think: bool) -> Result<Cow<'t, str>> {
        let mut starts = self.whole(content, keep_think);
        starts.extend(self.begun(content));
        if starts.is_empty() {
            return Ok(Cow::Borrowed(content));
        }
        let mut covered = String::with_capacity(content.len() + 2 * starts.len());
        let mut done = 0;
        for start in starts {
            let c = content[start..].chars().next().unwrap_or_default();
            covered.push_str(&content[done..start]);
            covered.push(self.stand_in(c)?);
            done = start + c.len_utf8();
        }
        covered.push_str(&content[done..]);
        Ok(Cow::Owned(covered))
    }

    /// What the user wrote.
    pub(super) fn uncover<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.stand_ins.is_empty() {
            return Cow::Borrowed(text);
        }
        let original = |c: char| {
            let pair = self.stand_ins.iter().find(|(stand_in, _)| *stand_in == c);
            pair.map_or(c, |(_, original)| *original)
        };
        Cow::Owned(text.chars().map(original).collect())
    }

    /// Where markers begin, overlapping ones too: covering one must not lay another bare.
    fn whole(&self, content: &str, keep_think: bool) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut from = 0;
        while let Some(found) = self.automaton.find(Input::new(content).range(from..)) {
            let marker = self.markers[found.pattern().as_usize()].as_str();
            if !(keep_think && (marker == THINK || marker == END_THINK)) {
                starts.push(found.start());
            }
            from = found.start() + 1;
        }
        starts
    }

    /// Where beginnings of markers stand at the end, which text behind could complete.
    fn begun(&self, content: &str) -> Vec<usize> {
        let first = content.len() - content.len().min(self.longest.saturating_sub(1));
        let begins = |start: &usize| {
            content.is_char_boundary(*start) && {
                let end = &content[*start..];
                self.markers
                    .iter()
                    .any(|marker| marker != end && marker.starts_with(end))
            }
        };
        (first..content.len()).filter(begins).collect()
    }

    fn stand_in(&mut self, c: char) -> Result<char> {
        if let Some((stand_in, _)) = self.stand_ins.iter().find(|(_, original)| *original == c) {
            return Ok(*stand_in);
        }
        let Some(free) = PRIVATE.into_iter().find(|free| !self.taken.contains(free)) else {
            let what = "the conversation uses every private-use character";
            return Err(Error::Template(what.to_owned()));
        };
        self.taken.insert(free);
        self.stand_ins.push((free, c));
        Ok(free)
    }
}

//! Guesses of the next tokens: the model then checks several tokens in the time of one.
//!
//! A guess changes no answer: a token is what the model chooses, and a guess that differs from it was in vain.

use std::collections::HashMap;

use web_time::Instant;

use super::SequenceId;
use super::pace::Pace;

/// Tokens that a look-up guesses.
pub const LOOK_UP: usize = 4;
/// Most and least tokens that must have been there before.
const ALIKE: [usize; 2] = [4, 2];

/// Whether the next tokens are guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speculate {
    /// No. A model takes less memory without its layer of predictions.
    Off,
    /// By the model's own layer of predictions, if it has one and that turns out to be faster.
    #[default]
    Auto,
    /// By the model's own layer of predictions; if it has none, as `Lookup`.
    On,
    /// By what followed the last tokens where they stood before.
    Lookup,
}

impl Speculate {
    /// What users call each.
    pub const NAMES: [&str; 4] = ["off", "auto", "on", "lookup"];

    /// The one that users call `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "auto" => Some(Self::Auto),
            "on" => Some(Self::On),
            "lookup" => Some(Self::Lookup),
            _ => None,
        }
    }

    /// Whether a layer of predictions is of use.
    pub fn predicts(self) -> bool {
        matches!(self, Self::Auto | Self::On)
    }
}

/// How many guesses there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Tokens that were guessed and checked.
    pub made: usize,
    /// Those that the model chose as well.
    pub right: usize,
}

/// Who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Prediction,
    LookUp,
}

/// What is guessed for the next step, and whether that pays.
pub(super) struct Drafts {
    pub(super) source: Source,
    /// What the model predicted, for sequences that have no token after it yet.
    predicted: HashMap<SequenceId, u32>,
    /// Whether guessing pays; it is not asked if it is to be done anyway.
    pace: Option<Pace>,
}

impl Drafts {
    /// For a model that `predicts` or does not; `None` if nothing is to be guessed.
    pub(super) fn new(speculate: Speculate, predicts: bool) -> Option<Self> {
        let source = match speculate {
            Speculate::Auto | Speculate::On if predicts => Source::Prediction,
            Speculate::On | Speculate::Lookup => Source::LookUp,
            // A look-up finds too little in most texts to be tried unasked.
            Speculate::Off | Speculate::Auto => return None,
        };
        Some(Self {
            source,
            predicted: HashMap::new(),
            pace: (speculate == Speculate::Auto).then(Pace::default),
        })
    }

    /// Whether steps of so many sequences are to guess now.
    pub(super) fn are_made(&self, sequences: usize) -> bool {
        self.pace
            .as_ref()
            .is_none_or(|pace| pace.is_guessing(sequences))
    }

    /// Whether a prompt goes through the layer of predictions, so that its guesses have a past to look at.
    pub(super) fn read_prompts(&self) -> bool {
        let pays = |pace: &Pace| pace.may_guess();
        self.source == Source::Prediction && self.pace.as_ref().is_none_or(pays)
    }

    /// Remembers what the model predicts behind all tokens of a sequence.
    pub(super) fn predict(&mut self, id: SequenceId, token: u32) {
        self.predicted.insert(id, token);
    }

    /// Forgets a sequence.
    pub(super) fn remove(&mut self, id: SequenceId) {
        self.predicted.remove(&id);
    }

    /// What may come behind `tokens`, all of a sequence.
    pub(super) fn guess(&mut self, id: SequenceId, tokens: &[u32]) -> Vec<u32> {
        match self.source {
            Source::Prediction => self.predicted.remove(&id).into_iter().collect(),
            Source::LookUp => look_up(tokens),
        }
    }

    /// Takes note of a step of `sequences`, with guesses or without, that gave `tokens`; 0 sequences if it was no
    /// step to measure.
    pub(super) fn ran(&mut self, sequences: usize, guesses: bool, tokens: usize) {
        if let Some(pace) = &mut self.pace {
            pace.step(Instant::now(), sequences, guesses, tokens);
        }
    }
}

/// What followed where the last of `tokens` stood before: the longest part that did, the last time it did.
pub fn look_up(tokens: &[u32]) -> Vec<u32> {
    let [most, least] = ALIKE;
    let found = (least..=most).rev().find_map(|width| {
        let start = tokens.len().checked_sub(width)?;
        let before = &tokens[..tokens.len() - 1];
        let place = before
            .windows(width)
            .rposition(|part| part == &tokens[start..])?;
        Some(place + width)
    });
    let Some(next) = found else {
        return Vec::new();
    };
    // What goes on beyond the end repeats itself.
    let period = tokens.len() - next;
    let mut guesses: Vec<u32> = Vec::with_capacity(LOOK_UP);
    for index in 0..LOOK_UP {
        let token = tokens.get(next + index).copied();
        guesses.push(token.unwrap_or_else(|| guesses[index - period]));
    }
    guesses
}

//! Stop strings: texts that end an answer and do not belong to it.
//!
//! Never gives out a part of a stop string, and holds back only what could still become one.

use super::held::begun;
use crate::error::Error;
use crate::error::Result;

/// Watches one answer for its stop strings.
///
/// The stop string that is complete first ends the answer, the longest if several end together:
/// so the cut does not depend on how the text is split into pieces.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// Watches for any of `stops`; [`Error::Usage`] if one of them is empty.
    pub fn new(stops: Vec<String>) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::Usage("a stop string must not be empty".to_owned()));
        }
        Ok(Self {
            stops,
            held: String::new(),
            stopped: false,
        })
    }

    /// Takes the next text and gives what certainly belongs to the answer.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        if let Some((_, start)) = found.min() {
            self.stopped = true;
            let mut answer = std::mem::take(&mut self.held);
            answer.truncate(start);
            return answer;
        }
        let begun = begun(&self.held, &self.stops);
        let rest = self.held.split_off(self.held.len() - begun);
        std::mem::replace(&mut self.held, rest)
    }

    /// What was held back, when no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether a stop string has come, so that generation can end.
    pub fn stopped(&self) -> bool {
        self.stopped
    }
}

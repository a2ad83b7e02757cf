//! Tells calls of tools from the text around them, while both come.

use super::read::Reading;
use super::{ToolCall, ToolFormat};
use crate::text::held::begun;

/// A stretch of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolPiece {
    /// What the model says.
    Content(String),
    /// A whole call; its arguments are a JSON object.
    Call(ToolCall),
}

/// Splits one answer, piece by piece. A call comes when it is whole; what looks like one but is
/// none is content, as it was written.
#[derive(Debug)]
pub struct ToolSplitter {
    format: ToolFormat,
    /// The marker that opened the calls that are being read.
    opening: Option<&'static str>,
    /// What is not decided: space before a marker, part of a marker, part of a call.
    held: String,
    /// Where in it the undecided call begins, behind the markers.
    start: usize,
    /// Whether calls have just ended: space behind them is no content.
    ended: bool,
}

impl ToolSplitter {
    /// A splitter for an answer of a model that writes calls like this.
    pub fn new(format: ToolFormat) -> Self {
        Self {
            format,
            opening: None,
            held: String::new(),
            start: 0,
            ended: false,
        }
    }

    /// Takes the next text and gives what is now decided.
    pub fn push(&mut self, text: &str) -> Vec<ToolPiece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.advance(&mut pieces) {}
        pieces
    }

    /// The rest, when no more text comes.
    pub fn finish(&mut self) -> Vec<ToolPiece> {
        let rest = std::mem::take(&mut self.held);
        let behind_call = self.ended || self.opening.is_some() && self.start == 0;
        let is_over = behind_call && rest.trim().is_empty();
        let pieces = (!is_over && !rest.is_empty()).then_some(ToolPiece::Content(rest));
        pieces.into_iter().collect()
    }

    /// Decides as much as can be; true if more may be.
    fn advance(&mut self, pieces: &mut Vec<ToolPiece>) -> bool {
        let Some(opening) = self.opening else {
            return self.advance_content(pieces);
        };
        match self.format.read(opening, &self.held[self.start..]) {
            Reading::More => return false,
            Reading::Call(call, length) => {
                pieces.push(ToolPiece::Call(call));
                self.take(self.start + length);
            }
            Reading::End(length) => {
                self.take(self.start + length);
                self.opening = None;
                self.ended = true;
            }
            Reading::Malformed => {
                // Its markers go out with it, so that they are not found again.
                let text: String = self.held.drain(..self.start).collect();
                if !text.is_empty() {
                    pieces.push(ToolPiece::Content(text));
                }
                self.start = 0;
                self.opening = None;
            }
        }
        true
    }

    fn take(&mut self, length: usize) {
        self.held.drain(..length);
        self.start = 0;
    }

    fn advance_content(&mut self, pieces: &mut Vec<ToolPiece>) -> bool {
        if self.ended {
            let space = self.held.len() - self.held.trim_start().len();
            self.held.drain(..space);
            self.ended = self.held.is_empty();
        }
        let openings = self.format.openings();
        let found = openings
            .iter()
            .filter_map(|opening| Some((self.held.find(opening)?, *opening)));
        let found = found.min_by_key(|(at, _)| *at);
        let decided = match found {
            Some((at, _)) => at,
            None => self.held.len() - begun(&self.held, openings),
        };
        // Space before a call belongs to neither.
        let kept = self.held[..decided].trim_end().len();
        if kept > 0 {
            pieces.push(ToolPiece::Content(self.held.drain(..kept).collect()));
        }
        if let Some((at, opening)) = found {
            self.opening = Some(opening);
            self.start = at - kept + opening.len();
        }
        found.is_some()
    }
}

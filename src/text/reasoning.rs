//! The two parts of an answer: what the model thought, and what it says.
//!
//! Works on text, so that markers count however the tokenizer spells them; never gives out a part
//! of a marker.

use super::END_THINK;
use super::THINK;
use super::held::begun;
use super::tokenizer::Tokenizer;

/// A stretch of generated text with the part it belongs to; markers are in neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Between the markers.
    Reasoning(String),
    /// The answer proper.
    Content(String),
}

/// Where an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// In the reasoning: the prompt has opened it.
    Reasoning,
    /// In the reasoning if `<think>` is generated first, else in the content.
    Undecided,
    /// In the content, and it stays there: the model has no reasoning.
    Content,
}

impl Opening {
    /// Where answers begin after a prompt that leaves the reasoning open or not.
    pub fn new(tokenizer: &Tokenizer, opens_reasoning: bool) -> Self {
        if opens_reasoning {
            Self::Reasoning
        } else if tokenizer.special(THINK).is_some() {
            Self::Undecided
        } else {
            Self::Content
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but what could be `<think>` has come; in the end it is reasoning or not.
    Start {
        reasoning: bool,
    },
    /// Between the markers, with newlines still to drop at the beginning or not.
    Reasoning {
        trim: bool,
    },
    /// After `</think>`, before anything but newlines.
    Answer,
    Content,
}

/// Splits one answer, piece by piece; the newlines next to the markers are dropped with them.
#[derive(Debug)]
pub struct ReasoningSplitter {
    state: State,
    /// Text whose part is not decided.
    held: String,
}

impl ReasoningSplitter {
    /// A splitter for an answer that begins at `opening`.
    pub fn new(opening: Opening) -> Self {
        let state = match opening {
            Opening::Reasoning => State::Start { reasoning: true },
            Opening::Undecided => State::Start { reasoning: false },
            Opening::Content => State::Content,
        };
        Self {
            state,
            held: String::new(),
        }
    }

    /// Takes the next text and gives what is now decided.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.advance(&mut pieces) {}
        pieces
    }

    /// The rest, when no more text comes; the splitter is then empty.
    pub fn finish(&mut self) -> Vec<Piece> {
        let rest = std::mem::take(&mut self.held);
        let piece = match self.state {
            _ if rest.is_empty() => None,
            State::Start { reasoning: true } | State::Reasoning { .. } => {
                Some(Piece::Reasoning(rest))
            }
            State::Start { reasoning: false } | State::Content => Some(Piece::Content(rest)),
            State::Answer => None,
        };
        piece.into_iter().collect()
    }

    /// Whether the next text belongs to the reasoning, as far as is known.
    pub fn in_reasoning(&self) -> bool {
        matches!(
            self.state,
            State::Start { reasoning: true } | State::Reasoning { .. }
        )
    }

    /// Decides as much as the current state can; true if another state may decide more.
    fn advance(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start { reasoning } => self.advance_start(reasoning),
            State::Reasoning { trim } => self.advance_reasoning(trim, pieces),
            State::Answer => {
                drop_leading_newlines(&mut self.held);
                if !self.held.is_empty() {
                    self.state = State::Content;
                }
                !self.held.is_empty()
            }
            State::Content => {
                if !self.held.is_empty() {
                    pieces.push(Piece::Content(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    fn advance_start(&mut self, reasoning: bool) -> bool {
        let begun = self.held.trim_start();
        if let Some(rest) = begun.strip_prefix(THINK) {
            self.held = rest.to_owned();
            self.state = State::Reasoning { trim: true };
            true
        } else if THINK.starts_with(begun) {
            false
        } else {
            self.state = if reasoning {
                State::Reasoning { trim: true }
            } else {
                State::Content
            };
            true
        }
    }

    fn advance_reasoning(&mut self, trim: bool, pieces: &mut Vec<Piece>) -> bool {
        if trim {
            drop_leading_newlines(&mut self.held);
            self.state = State::Reasoning {
                trim: self.held.is_empty(),
            };
        }
        let end = self.held.find(END_THINK);
        let decided = end.unwrap_or(self.held.len() - begun(&self.held, &[END_THINK]));
        let kept = self.held[..decided].trim_end_matches('\n').len();
        if kept > 0 {
            pieces.push(Piece::Reasoning(self.held[..kept].to_owned()));
        }
        if let Some(end) = end {
            self.held.drain(..end + END_THINK.len());
            self.state = State::Answer;
        } else {
            self.held.drain(..kept);
        }
        end.is_some()
    }
}

fn drop_leading_newlines(text: &mut String) {
    let newlines = text.len() - text.trim_start_matches('\n').len();
    text.drain(..newlines);
}

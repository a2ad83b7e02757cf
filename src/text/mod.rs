//! Words to token ids and back: tokenizer, chat templates, streamed text, and what the checkpoint
//! says about generating.
//!
//! Knows no model, no engine and no GPU, and never opens a file: callers pass the contents.

mod added;
pub mod chat;
pub mod generation;
mod guard;
mod outline;
mod python;
pub mod reasoning;
mod sandbox;
mod shield;
pub mod steps;
mod stop;
pub mod stream;
pub mod tokenizer;

pub use chat::{ChatTemplate, Message, Prompt, Role};
pub use generation::GenerationConfig;
pub use reasoning::{Opening, Piece, ReasoningSplitter};
pub use stop::StopStrings;
pub use stream::TextStream;
pub use tokenizer::{Specials, Tokenizer};

/// Opens the reasoning of a model that thinks before it answers.
pub const THINK: &str = "<think>";
/// Ends the reasoning.
pub const END_THINK: &str = "</think>";

//! Words to token ids and back: tokenizer, chat templates, streamed text, and what the checkpoint
//! says about generating.
//!
//! Knows no model, no engine and no GPU, and never opens a file: callers pass the contents.

mod added;
pub mod chat;
pub mod generation;
mod guard;
mod held;
mod message;
mod outline;
mod python;
pub mod reasoning;
mod sandbox;
mod shield;
pub mod steps;
mod stop;
pub mod stream;
pub mod tokenizer;
pub mod tools;
mod turns;

pub use chat::{ChatTemplate, Prompt};
pub use generation::GenerationConfig;
pub use message::{Conversation, Message, Role, Tool, ToolCall};
pub use reasoning::{Opening, Piece, ReasoningSplitter};
pub use stop::StopStrings;
pub use stream::TextStream;
pub use tokenizer::{Specials, Tokenizer};
pub use tools::{
    CALL, CALLS, END_CALL, END_CALLS, END_OBJECT, OBJECT, SEPARATOR, ToolFormat, ToolPiece,
    ToolSplitter,
};

/// Opens the reasoning of a model that thinks before it answers.
pub const THINK: &str = "<think>";
/// Ends the reasoning.
pub const END_THINK: &str = "</think>";
/// The tokens around a text before a hole, the hole, and the text behind it.
pub const FIM: [&str; 3] = ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"];

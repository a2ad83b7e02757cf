//! The requests and replies of OpenAI's and DeepSeek's APIs, as JSON.
//!
//! Turns requests into prompts and options, and updates into the objects that clients parse. Never
//! touches a socket or a page: whoever has one passes the texts on.

mod fields;
mod refusal;
mod reply;
mod request;

pub use refusal::{error_code, refusal};
pub use reply::{Reply, ReplyKind};
pub use request::{ChatRequest, CompletionRequest, Settings};

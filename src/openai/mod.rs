//! The requests and replies of OpenAI's and DeepSeek's APIs, as JSON.
//!
//! Turns requests into prompts and options, and updates into the objects that clients parse. Never
//! touches a socket or a page: whoever has one passes the texts on.

mod asked;
mod chat;
mod completion;
mod fields;
mod logprobs;
mod messages;
mod refusal;
mod reply;
mod settings;
mod tokens;
mod tools;

pub use asked::Asked;
pub use chat::ChatRequest;
pub use completion::CompletionRequest;
pub use refusal::{error_code, refusal};
pub use reply::Reply;
pub use tokens::{apply_template, detokenize, tokenize, tokenizer_info};

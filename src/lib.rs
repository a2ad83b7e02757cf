//! tiefsee runs DeepSeek models on any GPU that wgpu reaches.

pub mod checkpoint;
pub mod engine;
pub mod error;

pub mod formats;
pub mod gpu;
pub mod layers;
pub mod llm;
pub mod models;
pub mod ops;
pub mod reference;
pub mod selftest;
pub mod text;

pub use error::{Error, Result};
pub use llm::{Completion, GenerateOptions, Llm, LoadOptions, Update};
pub use text::{Message, Role};

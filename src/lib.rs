//! tiefsee runs DeepSeek models on any GPU that wgpu reaches.

pub mod error;
pub mod text;

pub use error::{Error, Result};

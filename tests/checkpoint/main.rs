//! Reading checkpoints: what is in them, and every way in which they can be damaged.

mod config;
mod convert;
mod damaged;
mod files;
mod gguf;
mod gguf_config;
mod gguf_damaged;
#[path = "../common/gguf.rs"]
mod gguf_file;
mod gguf_golden;
mod gguf_sets;
mod gguf_tokenizer;
mod reading;

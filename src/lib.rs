//! tiefsee runs `DeepSeek` models on any GPU that wgpu reaches.
//!
//! ```no_run
//! use futures::{StreamExt, pin_mut};
//! use tiefsee::{Llm, LoadOptions, Message, Role, Update};
//!
//! # async fn answer() -> tiefsee::Result<()> {
//! let mut llm = Llm::load("demo", LoadOptions::default()).await?;
//! let options = llm.defaults(0);
//! let question = Message::new(Role::User, "What is 27 + 48?");
//! let answer = llm.chat(&[question], &options)?;
//! pin_mut!(answer);
//! while let Some(update) = answer.next().await {
//!     if let Update::Content(text) = update? {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//!
//! `server` answers HTTP, [`openai`] speaks the wire format of OpenAI's clients, for it and the browser (`web`). [`llm`] puts
//! everything together. [`engine`] decides which tokens run next and knows neither text
//! nor architecture; [`text`] turns words into ids and back. [`models`] are made of [`layers`], layers call
//! [`ops`], an op launches one kernel through [`gpu`], the only module that names wgpu. [`formats`] say how
//! weights are stored, [`checkpoint`] reads them from files. A module uses itself and what is below it.
//!
//! # Invariants
//!
//! - A forward is recorded once per step shape and replayed. Whatever changes from step to step is in the
//!   tensors of [`layers::Batch`], never in a launch's parameters.
//! - A dropped tensor's buffer serves later launches, which is right because recorded work runs in order.
//!   Uploads happen before the next submit, so the host writes only to tensors that never came from the pool.
//! - One wait per step: only chosen tokens, or their scores, come back from the GPU, and while the host looks at them
//!   the next steps run already.
//! - Errors at the door, assertions inside: files, configurations, adapters and requests give an [`Error`]; a
//!   wrong shape after loading is a bug and panics with the shape.
//! - Nothing below `main` and the examples blocks but the server's thread for the model: `async` where the GPU
//!   or a file is awaited.
//! - Loading and steps give boxed futures, as the code of an `async fn` is compiled anew in every crate that awaits it.

pub mod checkpoint;
pub mod engine;
pub mod error;
pub mod formats;
pub mod gpu;
pub mod layers;
pub mod llm;
pub mod models;
pub mod openai;
pub mod ops;
pub mod reference;
pub mod selftest;
#[cfg(not(target_arch = "wasm32"))]
pub mod server;
pub mod text;
#[cfg(target_arch = "wasm32")]
pub mod web;

pub use error::{Error, Result};
pub use llm::{Completion, GenerateOptions, Llm, LoadOptions, Update};
pub use text::{Message, Role};

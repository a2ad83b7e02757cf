//! What an answer has to look like.

use serde_json::Value;

use crate::text::{Tool, ToolFormat};

/// What an answer has to look like: JSON, calls of tools, or either.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The schema of its text; any text if there is none.
    pub schema: Option<&'a Value>,
    /// The calls it may have.
    pub calls: Option<Calls<'a>>,
}

/// Calls of tools in an answer.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    /// How the model writes them.
    pub format: ToolFormat,
    /// What it may call.
    pub tools: &'a [Tool],
    /// Whether it must.
    pub required: bool,
    /// Whether there may be more than one.
    pub parallel: bool,
}

impl Shape<'_> {
    /// The field of a request that is at fault if the shape cannot be.
    pub(super) fn field(&self) -> &'static str {
        match self.schema {
            Some(_) => "response_format",
            None => "tools",
        }
    }
}

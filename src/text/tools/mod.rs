//! How models write calls of tools: reading them in an answer, and writing them where a template
//! cannot.

mod read;
mod splitter;

use std::fmt::Write;

use serde_json::Value;

use super::message::ToolCall;

pub use splitter::{ToolPiece, ToolSplitter};

/// How a model writes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFormat {
    /// V3, R1 and their distilled models: special tokens around a type, a name and fenced JSON.
    Fenced,
    /// V3.1: special tokens around a name and JSON.
    Plain,
    /// V3.2 and V4: tags with a parameter each.
    Tags,
    /// Qwen's and many others': an object with name and arguments in `<tool_call>`.
    Object,
}

/// Opens the calls of [`ToolFormat::Fenced`] and [`ToolFormat::Plain`].
pub const CALLS: &str = "<｜tool▁calls▁begin｜>";
/// Ends them.
pub const END_CALLS: &str = "<｜tool▁calls▁end｜>";
/// Opens one of them.
pub const CALL: &str = "<｜tool▁call▁begin｜>";
/// Ends one of them.
pub const END_CALL: &str = "<｜tool▁call▁end｜>";
/// Stands before a name or before arguments.
pub const SEPARATOR: &str = "<｜tool▁sep｜>";
/// Opens a call of [`ToolFormat::Object`].
pub const OBJECT: &str = "<tool_call>";
/// Ends it.
pub const END_OBJECT: &str = "</tool_call>";
/// What tags of [`ToolFormat::Tags`] begin with.
const TAG: &str = "｜DSML｜";

impl ToolFormat {
    /// The format of the model whose chat template this is.
    pub(super) fn of(template: &str) -> Self {
        if template.contains(TAG) {
            Self::Tags
        } else if !template.contains(CALL) {
            Self::Object
        } else if template.contains("```json") {
            Self::Fenced
        } else {
            Self::Plain
        }
    }

    /// Calls as the model would write them, behind its text.
    pub(super) fn write(self, calls: &[ToolCall]) -> String {
        let call = |call: &ToolCall| {
            let ToolCall {
                name, arguments, ..
            } = call;
            match self {
                Self::Fenced => {
                    format!("{CALL}function{SEPARATOR}{name}\n```json\n{arguments}\n```{END_CALL}")
                }
                Self::Plain => format!("{CALL}{name}{SEPARATOR}{arguments}{END_CALL}"),
                Self::Tags => tags(name, arguments),
                Self::Object => {
                    let name = Value::from(name.as_str());
                    format!(
                        "\n{OBJECT}\n{{\"name\": {name}, \"arguments\": {arguments}}}\n{END_OBJECT}"
                    )
                }
            }
        };
        let calls: Vec<String> = calls.iter().map(call).collect();
        match self {
            Self::Fenced => format!("{CALLS}{}{END_CALLS}", calls.join("\n")),
            Self::Plain => format!("{CALLS}{}{END_CALLS}", calls.concat()),
            Self::Tags => format!(
                "\n\n<{TAG}function_calls>\n{}</{TAG}function_calls>",
                calls.concat()
            ),
            Self::Object => calls.concat(),
        }
    }

    /// What tells a model about tools, if its template does not.
    pub(super) fn instructions(self, tools: &[Value]) -> String {
        let tools = tools.iter().map(|tool| tool["function"].to_string());
        let tools: Vec<String> = tools.collect();
        let example = self.write(&[ToolCall {
            id: String::new(),
            name: "NAME".to_owned(),
            arguments: "{\"PARAMETER\": \"VALUE\"}".to_owned(),
        }]);
        format!(
            "You may call functions. These are there, with the JSON schema of their arguments:\n{}\n\n\
             To call one, end your answer with its name and its arguments in this form:\n{}",
            tools.join("\n"),
            example.trim_start(),
        )
    }
}

/// A call with a tag for each argument: texts as they are, the rest as JSON.
fn tags(name: &str, arguments: &str) -> String {
    let mut call = format!("<{TAG}invoke name=\"{name}\">\n");
    let fields = arguments.parse::<Value>().unwrap_or_default();
    for (key, value) in fields.as_object().into_iter().flatten() {
        let (is_text, value) = match value {
            Value::String(text) => (true, text.clone()),
            other => (false, other.to_string()),
        };
        _ = writeln!(
            call,
            "<{TAG}parameter name=\"{key}\" string=\"{is_text}\">{value}</{TAG}parameter>"
        );
    }
    call + &format!("</{TAG}invoke>\n")
}

//! The tools of a request, and whether the model has to call one.

use serde_json::Value;

use super::fields::{Fields, wrong};
use crate::error::Result;
use crate::text::Tool;

/// The most tools.
const MOST_TOOLS: usize = 128;
/// The longest name of one.
const MOST_NAME: usize = 64;

/// What the model may do with tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// Answer or call, as it likes.
    #[default]
    Auto,
    /// Answer only.
    None,
    /// Call at least one.
    Required,
    /// Call the one with this index.
    Named(usize),
}

/// What is in `tools`.
///
/// # Errors
/// [`crate::error::Error::Parameter`] that names the field.
pub(super) fn tools(fields: &Fields) -> Result<Vec<Tool>> {
    let values: Vec<Value> = fields.get("tools")?.unwrap_or_default();
    if values.len() > MOST_TOOLS {
        return Err(wrong("tools", format!("has more than {MOST_TOOLS}")));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let name = format!("tools[{index}]");
        let tool = tool(&name, value)?;
        if tools.iter().any(|other| other.name == tool.name) {
            let what = "is the name of another tool as well";
            return Err(wrong(format!("{name}.function.name"), what));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(name: &str, value: &Value) -> Result<Tool> {
    if value["type"] != "function" {
        return Err(wrong(format!("{name}.type"), "is not \"function\""));
    }
    let function = &value["function"];
    let field = |field: &str| format!("{name}.function.{field}");
    let called = function["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if called.is_empty() || called.len() > MOST_NAME || !called.chars().all(plain) {
        let what = format!("must be 1 to {MOST_NAME} letters, digits, _ and -");
        return Err(wrong(field("name"), what));
    }
    let description = match &function["description"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        _ => return Err(wrong(field("description"), "is no text")),
    };
    let parameters = match &function["parameters"] {
        Value::Null => None,
        schema @ Value::Object(_) => Some(schema.clone()),
        _ => return Err(wrong(field("parameters"), "is no object")),
    };
    let strict = match &function["strict"] {
        Value::Null => false,
        Value::Bool(strict) => *strict,
        _ => return Err(wrong(field("strict"), "is neither true nor false")),
    };
    Ok(Tool {
        name: called.to_owned(),
        description,
        parameters,
        strict,
    })
}

/// What is in `tool_choice`.
///
/// # Errors
/// [`crate::error::Error::Parameter`] for what is unknown, or is there without tools.
pub(super) fn choice(fields: &Fields, tools: &[Tool]) -> Result<Choice> {
    let name = "tool_choice";
    let Some(value) = fields.get::<Value>(name)? else {
        return Ok(Choice::Auto);
    };
    let choice = match value.as_str() {
        Some("none") => return Ok(Choice::None),
        Some("auto") => return Ok(Choice::Auto),
        Some("required") => Choice::Required,
        None if value["type"] == "function" => {
            let called = value["function"]["name"].as_str();
            let found = tools
                .iter()
                .position(|tool| Some(tool.name.as_str()) == called);
            Choice::Named(found.ok_or_else(|| wrong(name, "names none of the tools"))?)
        }
        _ => {
            let what = "is none of \"none\", \"auto\", \"required\" and a function's name";
            return Err(wrong(name, what));
        }
    };
    if tools.is_empty() {
        return Err(wrong(name, "wants a tool, but there are none"));
    }
    Ok(choice)
}

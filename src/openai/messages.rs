//! The turns of a conversation.

use serde_json::Value;

use super::fields::wrong;
use super::settings::{is_empty, is_false};
use crate::error::Result;
use crate::text::{Message, Role, ToolCall};

/// All turns, and whether the last is the beginning of the answer.
///
/// # Errors
/// [`crate::error::Error::Parameter`] that names the message's field.
pub(super) fn messages(values: &[Value]) -> Result<(Vec<Message>, bool)> {
    if values.is_empty() {
        return Err(wrong("messages", "is empty"));
    }
    let mut messages = Vec::with_capacity(values.len());
    let mut continues = false;
    for (index, value) in values.iter().enumerate() {
        let name = format!("messages[{index}]");
        let message = message(&name, value)?;
        let prefix = &value["prefix"];
        if !prefix.is_null() && !is_false(prefix) {
            let is_last = index + 1 == values.len();
            if *prefix != true || !is_last || message.role != Role::Assistant {
                let what = "can only be true, for the last message, of the assistant";
                return Err(wrong(format!("{name}.prefix"), what));
            }
            continues = true;
        }
        messages.push(message);
    }
    Ok((messages, continues))
}

fn message(name: &str, value: &Value) -> Result<Message> {
    let role = match value["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => {
            let known = "is none of system, developer, user, assistant and tool";
            return Err(wrong(format!("{name}.role"), known));
        }
    };
    let is_assistant = role == Role::Assistant;
    let reasoning = text(value, name, "reasoning_content")?;
    let tool_calls = calls(&format!("{name}.tool_calls"), &value["tool_calls"])?;
    if !is_assistant && !tool_calls.is_empty() {
        let what = "stands beside a role that calls no tools";
        return Err(wrong(format!("{name}.tool_calls"), what));
    }
    let says_nothing = is_assistant && (reasoning.is_some() || !tool_calls.is_empty());
    let content = match &value["content"] {
        Value::Null if says_nothing => String::new(),
        content => text_or_parts(&format!("{name}.content"), content)?,
    };
    Ok(Message {
        role,
        content,
        reasoning: reasoning.filter(|_| is_assistant),
        tool_calls,
        tool_call_id: text(value, name, "tool_call_id")?,
    })
}

fn text(message: &Value, name: &str, field: &str) -> Result<Option<String>> {
    match &message[field] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(format!("{name}.{field}"), "is no text")),
    }
}

/// A text, or a list of parts that are texts.
fn text_or_parts(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let text = |part: &Value| match (part["type"].as_str(), part["text"].as_str()) {
                (Some("text"), Some(text)) => Ok(text.to_owned()),
                _ => Err(wrong(name, "has a part that is no text")),
            };
            parts.iter().map(text).collect()
        }
        _ => Err(wrong(name, "is neither a text nor a list of parts")),
    }
}

/// What an assistant called before.
fn calls(name: &str, value: &Value) -> Result<Vec<ToolCall>> {
    if value.is_null() || is_empty(value) {
        return Ok(Vec::new());
    }
    let values = value.as_array().ok_or_else(|| wrong(name, "is no list"))?;
    let call = |(index, value): (usize, &Value)| {
        let name = format!("{name}[{index}].function");
        let function = &value["function"];
        let called = function["name"].as_str();
        let called = called.ok_or_else(|| wrong(format!("{name}.name"), "is no text"))?;
        // What the model wrote may be broken; what is no text at all was not written by it.
        let arguments = match &function["arguments"] {
            Value::String(text) => text.clone(),
            object @ Value::Object(_) => object.to_string(),
            Value::Null => "{}".to_owned(),
            _ => return Err(wrong(format!("{name}.arguments"), "is no text")),
        };
        Ok(ToolCall {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            name: called.to_owned(),
            arguments,
        })
    };
    values.iter().enumerate().map(call).collect()
}

//! The turns of a conversation as a template sees them.
//!
//! Every text of a user is covered before a template or an instruction of our own stands beside it.

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Map;
use serde_json::Value as Json;

use super::message::Conversation;
use super::message::Message;
use super::message::Role;
use super::message::ToolCall;
use super::tools::ToolFormat;
use crate::error::Result;

/// What a template's source shows about tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// It describes the tools to the model.
    describes: bool,
    /// It writes calls and results.
    calls: bool,
    /// It wants the arguments of calls as an object, not as a text.
    objects: bool,
    /// How the model writes calls.
    pub(super) format: ToolFormat,
}

impl Abilities {
    pub(super) fn new(source: &str) -> Self {
        let dense: String = source.chars().filter(|c| !c.is_whitespace()).collect();
        let quoted = |end: &str| dense.contains(&format!("arguments{end}|tojson"));
        Self {
            describes: source.contains("tools"),
            calls: source.contains("tool_calls"),
            objects: ["", "']", "\"]"].into_iter().any(quoted) && !source.contains("is string"),
            format: ToolFormat::of(source),
        }
    }
}

/// Makes a text harmless; with `true`, reasoning markers may stay in it.
pub(super) type Cover<'c> = dyn FnMut(&str, bool) -> Result<String> + 'c;

/// A message without anything that could be taken for markup.
struct Turn {
    role: Role,
    content: String,
    reasoning: Option<String>,
    calls: Vec<ToolCall>,
    answers: Option<String>,
}

/// What goes into a template: messages, and tools if it wants them.
pub(super) struct Turns {
    pub(super) messages: Vec<Value>,
    pub(super) tools: Option<Vec<Value>>,
    /// Bytes of all texts.
    pub(super) bytes: usize,
}

impl Turns {
    /// The turns of `conversation`, written in the contents where the template has no place for them.
    pub(super) fn new(
        conversation: &Conversation,
        abilities: Abilities,
        cover: &mut Cover,
    ) -> Result<Self> {
        let mut turns = Vec::with_capacity(conversation.messages.len());
        for message in conversation.messages {
            turns.push(Turn::new(message, cover)?);
        }
        let mut tools = Vec::with_capacity(conversation.tools.len());
        for tool in conversation.tools {
            tools.push(cover_json(tool.json(), cover)?);
        }
        let has_calls = turns.iter().any(|turn| !turn.calls.is_empty());
        if has_calls && !abilities.calls {
            fold_calls(&mut turns, abilities.format);
        }
        if !(abilities.describes || tools.is_empty()) {
            describe(&mut turns, &abilities.format.instructions(&tools));
        }
        let described: usize = tools.iter().map(|tool| tool.to_string().len()).sum();
        let bytes = described + turns.iter().map(Turn::bytes).sum::<usize>();
        let is_given = abilities.describes && !tools.is_empty();
        Ok(Self {
            messages: (turns.into_iter())
                .map(|turn| turn.value(abilities))
                .collect(),
            tools: is_given.then(|| tools.into_iter().map(value).collect()),
            bytes,
        })
    }
}

impl Turn {
    fn new(message: &Message, cover: &mut Cover) -> Result<Self> {
        let keep_think = message.role == Role::Assistant;
        let content = cover(&message.content, keep_think)?;
        let mut plain = |text: &str| cover(text, false);
        let mut calls = Vec::with_capacity(message.tool_calls.len());
        for call in &message.tool_calls {
            calls.push(ToolCall {
                id: plain(&call.id)?,
                name: plain(&call.name)?,
                arguments: plain(&call.arguments)?,
            });
        }
        Ok(Self {
            role: message.role,
            content,
            reasoning: message.reasoning.as_deref().map(&mut plain).transpose()?,
            calls,
            answers: message
                .tool_call_id
                .as_deref()
                .map(&mut plain)
                .transpose()?,
        })
    }

    fn bytes(&self) -> usize {
        let calls = self.calls.iter();
        let calls = calls.map(|call| call.name.len() + call.arguments.len());
        self.content.len() + self.reasoning.as_ref().map_or(0, String::len) + calls.sum::<usize>()
    }

    /// What is not there has no key: templates ask whether it is defined.
    fn value(self, abilities: Abilities) -> Value {
        let mut turn = Map::new();
        turn.insert("role".into(), self.role.name().into());
        let is_none = self.content.is_empty() && !self.calls.is_empty();
        let content = (!is_none).then_some(self.content);
        turn.insert("content".into(), content.into());
        if let Some(reasoning) = self.reasoning {
            turn.insert("reasoning_content".into(), reasoning.into());
        }
        if !self.calls.is_empty() {
            let calls = self.calls.into_iter();
            let calls: Vec<_> = calls.map(|call| call_json(call, abilities)).collect();
            turn.insert("tool_calls".into(), calls.into());
        }
        if let Some(id) = self.answers {
            turn.insert("tool_call_id".into(), id.into());
        }
        value(Json::Object(turn))
    }
}

fn call_json(call: ToolCall, abilities: Abilities) -> Json {
    let object = abilities.objects.then(|| call.arguments.parse());
    let arguments = match object {
        Some(Ok(object)) => object,
        _ => Json::String(call.arguments),
    };
    serde_json::json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": arguments },
    })
}

/// As templates see it.
fn value(json: Json) -> Value {
    Value::from(Serde(json))
}

fn cover_json(value: Json, cover: &mut Cover) -> Result<Json> {
    Ok(match value {
        Json::String(text) => Json::String(cover(&text, false)?),
        Json::Array(items) => Json::Array(
            (items.into_iter())
                .map(|item| cover_json(item, cover))
                .collect::<Result<_>>()?,
        ),
        Json::Object(fields) => {
            let mut covered = Map::new();
            for (key, value) in fields {
                let key = cover(&key, false)?;
                covered.insert(key, cover_json(value, cover)?);
            }
            Json::Object(covered)
        }
        other => other,
    })
}

/// Writes calls behind the text of who called, and gives results back as what the user says.
fn fold_calls(turns: &mut Vec<Turn>, format: ToolFormat) {
    let mut folded: Vec<Turn> = Vec::with_capacity(turns.len());
    let mut was_result = false;
    for mut turn in turns.drain(..) {
        if !turn.calls.is_empty() {
            turn.content += &format.write(&std::mem::take(&mut turn.calls));
        }
        let is_result = turn.role == Role::Tool;
        if is_result {
            turn.role = Role::User;
            turn.content = format!("<tool_response>\n{}\n</tool_response>", turn.content);
        }
        match folded.last_mut() {
            Some(last) if is_result && was_result => {
                last.content += "\n";
                last.content += &turn.content;
            }
            _ => folded.push(turn),
        }
        was_result = is_result;
    }
    *turns = folded;
}

/// Puts the instructions behind the first system message, or makes it one.
fn describe(turns: &mut Vec<Turn>, instructions: &str) {
    match turns.first_mut() {
        Some(first) if first.role == Role::System => {
            first.content += "\n\n";
            first.content += instructions;
        }
        _ => turns.insert(
            0,
            Turn {
                role: Role::System,
                content: instructions.to_owned(),
                reasoning: None,
                calls: Vec::new(),
                answers: None,
            },
        ),
    }
}

//! What is said in a conversation: messages, calls of tools, and what the next answer should be like.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said; of an assistant possibly with its reasoning between markers.
    pub content: String,
    /// What an assistant thought before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The tools that an assistant called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result a tool's message is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message that is nothing but a text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// All texts of it, to look for what they must not contain.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let calls = self.tool_calls.iter();
        let calls = calls.flat_map(|call| [&call.id, &call.name, &call.arguments]);
        let ids = self.tool_call_id.iter();
        let more = self.reasoning.iter().chain(ids).chain(calls);
        std::iter::once(&self.content)
            .chain(more)
            .map(String::as_str)
    }
}

/// A tool that the model wants to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Tells calls apart; empty in what a model wrote.
    #[serde(default)]
    pub id: String,
    /// The tool.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// What the model calls it by.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments; any object if there is none.
    pub parameters: Option<Value>,
    /// Whether its arguments are sure to follow the schema.
    pub strict: bool,
}

impl Tool {
    /// As templates expect it, which is as OpenAI's clients send it.
    pub(super) fn json(&self) -> Value {
        let mut function = json!({ "name": self.name });
        if let Some(description) = &self.description {
            function["description"] = json!(description);
        }
        if let Some(parameters) = &self.parameters {
            function["parameters"] = parameters.clone();
        }
        json!({ "type": "function", "function": function })
    }
}

/// Messages with what else a template wants to know.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conversation<'a> {
    /// The turns so far.
    pub messages: &'a [Message],
    /// What the model may call.
    pub tools: &'a [Tool],
    /// Whether the model thinks before it answers; as the template has it if `None`.
    pub thinking: Option<bool>,
    /// How hard it should think, for templates that ask.
    pub effort: Option<&'a str>,
    /// Whether the last message, an assistant's, is the beginning of the answer.
    pub continues: bool,
}

impl<'a> From<&'a [Message]> for Conversation<'a> {
    fn from(messages: &'a [Message]) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}

impl<'a> From<&'a Vec<Message>> for Conversation<'a> {
    fn from(messages: &'a Vec<Message>) -> Self {
        messages.as_slice().into()
    }
}

impl<'a, const N: usize> From<&'a [Message; N]> for Conversation<'a> {
    fn from(messages: &'a [Message; N]) -> Self {
        messages.as_slice().into()
    }
}

impl Conversation<'_> {
    /// All texts of it, keys of schemas included.
    pub(super) fn texts(&self) -> Vec<Cow<'_, str>> {
        let messages = self.messages.iter().flat_map(Message::texts);
        let mut texts: Vec<_> = messages.map(Cow::Borrowed).collect();
        texts.extend((self.tools.iter()).map(|tool| Cow::Owned(tool.json().to_string())));
        texts
    }
}

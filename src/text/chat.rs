//! Conversations to prompts, by the checkpoint's own Jinja template.
//!
//! Never writes markup of its own, and never lets a message write any: special strings in contents
//! stay text.

use std::borrow::Cow;

use minijinja::Environment;
use minijinja::Value;
use minijinja::context;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value as Json;

use super::END_THINK;
use super::THINK;
use super::added::Segment;
use super::guard;
use super::outline;
use super::sandbox;
use super::shield::Shield;
use super::tokenizer::Tokenizer;
use crate::error::Error;
use crate::error::Result;

const FILE: &str = "tokenizer_config.json";
/// The engine's name for the template, as it stands in messages.
const NAME: &str = "chat";
/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 1 << 20;
/// The longest message of an error, in characters.
const MAX_MESSAGE: usize = 300;

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
    fn name(self) -> &'static str {
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
}

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The ids, the beginning-of-sentence token included if the template writes it.
    pub tokens: Vec<u32>,
    /// Whether the prompt ends inside the reasoning, so that the answer begins there.
    pub opens_reasoning: bool,
}

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
    pad_token: Option<String>,
}

impl ChatTemplate {
    /// Takes the template from `tokenizer_config.json`, or from `chat_template.jinja` if there is one.
    ///
    /// [`Error::NotFound`] if there is none; [`Error::Template`] if it does not compile.
    pub fn from_config(config: &Json, jinja: Option<&str>) -> Result<Self> {
        let source = match jinja {
            Some(jinja) => jinja,
            None => source(&config["chat_template"])?,
        };
        if source.len() > MAX_TEMPLATE {
            let what = format!(
                "{} bytes are too long, the most is {MAX_TEMPLATE}",
                source.len()
            );
            return Err(Error::Template(what));
        }
        outline::check(source)?;
        let mut environment = sandbox::environment().map_err(|error| failure(&error))?;
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| failure(&error))?;
        Ok(Self {
            environment,
            bos_token: token(config, "bos_token")?,
            eos_token: token(config, "eos_token")?,
            pad_token: token(config, "pad_token")?,
        })
    }

    /// The prompt as text; with `add_generation_prompt` it ends where the model's answer begins.
    ///
    /// [`Error::Template`] if the template refuses the messages, fails, or spends too much.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let contents = messages
            .iter()
            .map(|message| Cow::Borrowed(message.content.as_str()));
        self.render_with(messages, contents.collect(), add_generation_prompt)
    }

    /// The prompt as tokens: the template's markup becomes special tokens, that in contents of
    /// messages stays text, but for the reasoning markers of an assistant.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Prompt> {
        let template = self.template()?;
        let contents = messages.iter().map(|message| message.content.as_str());
        let mut shield = Shield::new(tokenizer, contents.chain([template.source()]))?;
        let mut covered = Vec::with_capacity(messages.len());
        for message in messages {
            covered.push(shield.cover(&message.content, message.role == Role::Assistant)?);
        }
        let rendered = self.render_with(messages, covered, add_generation_prompt)?;
        let encode = |text: &str| tokenizer.encode(&shield.uncover(text));
        Ok(Prompt {
            tokens: tokenizer.encode_segments(&rendered, encode)?,
            opens_reasoning: opens_reasoning(tokenizer, &rendered),
        })
    }

    fn template(&self) -> Result<minijinja::Template<'_, '_>> {
        self.environment
            .get_template(NAME)
            .map_err(|error| failure(&error))
    }

    fn render_with(
        &self,
        messages: &[Message],
        contents: Vec<Cow<'_, str>>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let bytes = contents.iter().map(|content| content.len()).sum();
        let turns = messages.iter().zip(contents);
        let turns: Vec<Value> = turns
            .map(|(message, content)| {
                context! { role => message.role.name(), content => content.into_owned() }
            })
            .collect();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(guard::fuel(messages.len(), bytes)));
        let template = environment
            .get_template(NAME)
            .map_err(|error| failure(&error))?;
        let rendered = template.render(context! {
            messages => turns,
            add_generation_prompt,
            bos_token => defined(self.bos_token.as_ref()),
            eos_token => defined(self.eos_token.as_ref()),
            pad_token => defined(self.pad_token.as_ref()),
            tools => (),
        });
        rendered.map_err(|error| failure(&error))
    }
}

/// The template in `chat_template`: a string, or the default one of several.
fn source(template: &Json) -> Result<&str> {
    let none = || {
        let what = "the model has no chat template: use raw prompts, or a model made for chat";
        Error::NotFound(what.to_owned())
    };
    match template {
        Json::String(source) => Ok(source),
        Json::Null => Err(none()),
        Json::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default");
            let only = || named.first().filter(|_| named.len() == 1);
            let entry = default.or_else(only).ok_or_else(none)?;
            let source = entry["template"].as_str();
            source.ok_or_else(|| Error::damaged(FILE, "chat_template: a template is not a string"))
        }
        _ => Err(Error::damaged(
            FILE,
            "chat_template is neither a string nor a list",
        )),
    }
}

/// A special token of `tokenizer_config.json`: a string, or an object with its string.
fn token(config: &Json, name: &str) -> Result<Option<String>> {
    match &config[name] {
        Json::Null => Ok(None),
        Json::String(token) => Ok(Some(token.clone())),
        entry => match entry["content"].as_str() {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(Error::damaged(
                FILE,
                format!("{name} is neither a string nor a token"),
            )),
        },
    }
}

/// Tokens the checkpoint does not name are undefined in templates, as in transformers.
fn defined(token: Option<&String>) -> Value {
    token.map_or(Value::UNDEFINED, Value::from)
}

/// Whether `<think>` stands open after the last marker that is not about reasoning.
fn opens_reasoning(tokenizer: &Tokenizer, rendered: &str) -> bool {
    let think = [THINK, END_THINK].map(|marker| tokenizer.special(marker));
    for segment in tokenizer.segments(rendered).iter().rev() {
        match segment {
            Segment::Token(token) if Some(*token) == think[0] => return true,
            Segment::Token(_) => return false,
            Segment::Text(text) => match (text.rfind(THINK), text.rfind(END_THINK)) {
                (None, None) => {}
                (open, close) => return open > close,
            },
        }
    }
    false
}

fn failure(error: &minijinja::Error) -> Error {
    let message = error.to_string();
    let mut short: String = message.chars().take(MAX_MESSAGE).collect();
    if short.len() < message.len() {
        short.push_str(" ...");
    }
    Error::Template(short)
}

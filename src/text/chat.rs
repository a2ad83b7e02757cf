//! Conversations to prompts, by the checkpoint's own Jinja template.
//!
//! Never writes markup of its own, and never lets a message write any: special strings in contents
//! stay text.

use minijinja::Environment;
use minijinja::Value;
use minijinja::context;
use serde_json::Value as Json;

use super::END_THINK;
use super::THINK;
use super::added::Segment;
use super::guard;
use super::message::Conversation;
use super::message::Message;
use super::outline;
use super::sandbox;
use super::shield::Shield;
use super::tokenizer::Tokenizer;
use super::tools::ToolFormat;
use super::turns::Abilities;
use super::turns::Cover;
use super::turns::Turns;
use crate::error::Error;
use crate::error::Result;

const FILE: &str = "tokenizer_config.json";
/// The engine's name for the template, as it stands in messages.
const NAME: &str = "chat";
/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 1 << 20;
/// The longest message of an error, in characters.
const MAX_MESSAGE: usize = 300;

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The ids, the beginning-of-sentence token included if the template writes it.
    pub tokens: Vec<u32>,
    /// Whether the prompt ends inside the reasoning, so that the answer begins there.
    pub opens_reasoning: bool,
    /// Whether the prompt ends behind the reasoning, so that the answer has none.
    pub closes_reasoning: bool,
}

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    abilities: Abilities,
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
            abilities: Abilities::new(source),
            bos_token: token(config, "bos_token")?,
            eos_token: token(config, "eos_token")?,
            pad_token: token(config, "pad_token")?,
        })
    }

    /// The template as it is written.
    pub fn source(&self) -> String {
        let template = self.environment.get_template(NAME);
        template.map_or_else(|_| String::new(), |template| template.source().to_owned())
    }

    /// How the model writes calls of tools.
    pub fn tool_format(&self) -> ToolFormat {
        self.abilities.format
    }

    /// The prompt as text; with `add_generation_prompt` it ends where the model's answer begins.
    ///
    /// [`Error::Template`] if the template refuses the messages, fails, or spends too much.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let mut bare = |text: &str, _| Ok(text.to_owned());
        self.render_with(&messages.into(), add_generation_prompt, &mut bare)
    }

    /// The prompt as tokens: the template's markup becomes special tokens, that in what users write
    /// stays text, but for the reasoning markers of an assistant.
    ///
    /// An answer that was begun goes on where it stopped. [`Error::Template`] as in [`Self::render`].
    pub fn encode<'a>(
        &self,
        tokenizer: &Tokenizer,
        conversation: impl Into<Conversation<'a>>,
        add_generation_prompt: bool,
    ) -> Result<Prompt> {
        let mut conversation: Conversation = conversation.into();
        let texts = conversation.texts();
        let template = self.template()?;
        let texts = texts.iter().map(AsRef::as_ref);
        let mut shield = Shield::new(tokenizer, texts.chain([template.source()]))?;
        let begun = match conversation.messages.split_last() {
            Some((last, before)) if conversation.continues => {
                conversation.messages = before;
                Some(last)
            }
            _ => None,
        };
        let mut cover = |text: &str, keep| Ok(shield.cover(text, keep)?.into_owned());
        let mut rendered = self.render_with(&conversation, add_generation_prompt, &mut cover)?;
        if add_generation_prompt {
            let mut opening = Opened::new(tokenizer, rendered);
            if conversation.thinking == Some(false) {
                opening.close();
            }
            if let Some(last) = begun {
                let thought = (last.reasoning.as_deref()).map(|text| cover(text, false));
                let content = cover(&last.content, false)?;
                opening.go_on(&thought.transpose()?.unwrap_or_default(), &content);
            }
            rendered = opening.text;
        }
        let encode = |text: &str| tokenizer.encode(&shield.uncover(text));
        let reasoning = reasoning_at_end(tokenizer, &rendered);
        Ok(Prompt {
            tokens: tokenizer.encode_segments(&rendered, encode)?,
            opens_reasoning: reasoning == Some(true),
            closes_reasoning: reasoning == Some(false),
        })
    }

    fn template(&self) -> Result<minijinja::Template<'_, '_>> {
        self.environment
            .get_template(NAME)
            .map_err(|error| failure(&error))
    }

    fn render_with(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
        cover: &mut Cover,
    ) -> Result<String> {
        let turns = Turns::new(conversation, self.abilities, cover)?;
        let mut environment = self.environment.clone();
        let count = conversation.messages.len() + conversation.tools.len();
        environment.set_fuel(Some(guard::fuel(count, turns.bytes)));
        let template = environment
            .get_template(NAME)
            .map_err(|error| failure(&error))?;
        let thinking = conversation.thinking.map_or(Value::UNDEFINED, Value::from);
        let rendered = template.render(context! {
            messages => turns.messages,
            add_generation_prompt,
            bos_token => defined(self.bos_token.as_ref()),
            eos_token => defined(self.eos_token.as_ref()),
            pad_token => defined(self.pad_token.as_ref()),
            tools => turns.tools,
            thinking => thinking.clone(),
            enable_thinking => thinking,
            reasoning_effort => conversation.effort.map_or(Value::UNDEFINED, Value::from),
        });
        rendered.map_err(|error| failure(&error))
    }
}

/// A prompt's text that ends where the answer begins.
struct Opened {
    text: String,
    /// Whether the model can think.
    thinks: bool,
    /// Whether the reasoning stands open, or has been closed already.
    open: Option<bool>,
}

impl Opened {
    fn new(tokenizer: &Tokenizer, text: String) -> Self {
        Self {
            thinks: tokenizer.special(THINK).is_some(),
            open: reasoning_at_end(tokenizer, &text),
            text,
        }
    }

    /// Has the model answer without thinking, by a thought that is empty.
    fn close(&mut self) {
        if self.open.is_none() && self.thinks {
            self.text.push_str(THINK);
            self.text.push('\n');
            self.open = Some(true);
        }
        if self.open == Some(true) {
            self.text.push('\n');
            self.text.push_str(END_THINK);
            self.text.push_str("\n\n");
            self.open = Some(false);
        }
    }

    /// Begins the answer; without a content, its thought.
    fn go_on(&mut self, thought: &str, content: &str) {
        if !thought.is_empty() && self.open.is_none() && self.thinks {
            self.text.push_str(THINK);
            self.text.push('\n');
            self.open = Some(true);
        }
        if self.open == Some(true) {
            self.text.push_str(thought);
            if !content.is_empty() {
                self.close();
            }
        }
        self.text.push_str(content);
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

/// Whether `<think>` stands open after the last marker that is not about reasoning, or `</think>` does.
fn reasoning_at_end(tokenizer: &Tokenizer, rendered: &str) -> Option<bool> {
    let think = [THINK, END_THINK].map(|marker| tokenizer.special(marker));
    for segment in tokenizer.segments(rendered).iter().rev() {
        match segment {
            Segment::Token(token) => {
                let is = |marker: Option<u32>| marker == Some(*token);
                return (is(think[0]) || is(think[1])).then(|| is(think[0]));
            }
            Segment::Text(text) => match (text.rfind(THINK), text.rfind(END_THINK)) {
                (None, None) => {}
                (open, close) => return Some(open > close),
            },
        }
    }
    None
}

fn failure(error: &minijinja::Error) -> Error {
    let message = error.to_string();
    let mut short: String = message.chars().take(MAX_MESSAGE).collect();
    if short.len() < message.len() {
        short.push_str(" ...");
    }
    Error::Template(short)
}

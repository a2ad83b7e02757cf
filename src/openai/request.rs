//! What a client asks for.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{Fields, wrong};
use crate::error::{Error, Result};
use crate::llm::{GenerateOptions, Llm};
use crate::text::{Message, Prompt, Role};

/// The most texts that end an answer.
const MOST_STOPS: usize = 16;

/// What requests of both kinds say besides their prompt. What is `None` is as the checkpoint
/// recommends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Whether the answer is wanted in pieces.
    pub stream: bool,
    /// Whether a stream ends with the counts of its tokens.
    pub include_usage: bool,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<u64>,
    max_tokens: Option<usize>,
    stop: Vec<String>,
    experts: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

impl Settings {
    fn read(fields: &Fields) -> Result<Self> {
        fields.refuse(&[
            ("n", |n| n.as_u64() == Some(1)),
            ("best_of", |n| n.as_u64() == Some(1)),
            ("logprobs", is_false),
            ("top_logprobs", is_zero),
            ("logit_bias", is_empty),
            ("frequency_penalty", is_zero),
            ("presence_penalty", is_zero),
        ])?;
        let stop = match fields.get("stop")? {
            None => Vec::new(),
            Some(OneOrMore::One(text)) => vec![text],
            Some(OneOrMore::More(texts)) => texts,
        };
        if stop.len() > MOST_STOPS {
            return Err(wrong("stop", format!("has more than {MOST_STOPS} texts")));
        }
        let length = "max_completion_tokens";
        let max_tokens = match fields.get(length)? {
            Some(tokens) => Some((length, tokens)),
            None => fields
                .get("max_tokens")?
                .map(|tokens| ("max_tokens", tokens)),
        };
        if let Some((name, 0)) = max_tokens {
            return Err(wrong(name, "is 0, but an answer has at least one token"));
        }
        let stream_options: StreamOptions = fields.get("stream_options")?.unwrap_or_default();
        Ok(Self {
            stream: fields.get("stream")?.unwrap_or(false),
            include_usage: stream_options.include_usage,
            temperature: fields.get("temperature")?,
            top_p: fields.get("top_p")?,
            top_k: fields.get("top_k")?,
            min_p: fields.get("min_p")?,
            repetition_penalty: fields.get("repetition_penalty")?,
            // Any whole number names a seed, negative ones, too.
            seed: fields.get::<i64>("seed")?.map(i64::cast_unsigned),
            max_tokens: max_tokens.map(|(_, tokens)| tokens),
            stop,
            experts: fields.get("experts")?.unwrap_or(false),
        })
    }

    /// The checkpoint's recommendation with these settings over it; `seed` if they name none.
    pub fn options(&self, llm: &Llm, seed: u64) -> GenerateOptions {
        let mut options = llm.defaults(self.seed.unwrap_or(seed));
        let set = |place: &mut f32, value: Option<f32>| *place = value.unwrap_or(*place);
        let sampling = &mut options.sampling;
        set(&mut sampling.temperature, self.temperature);
        set(&mut sampling.top_p, self.top_p);
        set(&mut sampling.min_p, self.min_p);
        set(&mut sampling.repetition_penalty, self.repetition_penalty);
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
        options.max_tokens = self.max_tokens.or(options.max_tokens);
        options.stop.clone_from(&self.stop);
        options.routes = self.experts;
        options
    }
}

/// `POST chat/completions`: a conversation to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The turns so far.
    pub messages: Vec<Message>,
    /// The rest.
    pub settings: Settings,
}

impl ChatRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the field, [`Error::Usage`] for what is no JSON object.
    pub fn from_json(json: &str) -> Result<Self> {
        let fields = Fields::parse(json)?;
        let named = |value: &Value| value == "none" || value == "auto";
        fields.refuse(&[
            ("tools", is_empty),
            ("functions", is_empty),
            ("tool_choice", named),
            ("response_format", |format| format["type"] == "text"),
        ])?;
        let messages: Vec<Value> = fields
            .get("messages")?
            .ok_or_else(|| wrong("messages", "is missing"))?;
        if messages.is_empty() {
            return Err(wrong("messages", "is empty"));
        }
        let messages = messages.iter().enumerate();
        Ok(Self {
            messages: messages
                .map(|(index, value)| message(&format!("messages[{index}]"), value))
                .collect::<Result<_>>()?,
            settings: Settings::read(&fields)?,
        })
    }

    /// The conversation as the model reads it.
    ///
    /// # Errors
    /// As [`Llm::prompt`].
    pub fn prompt(&self, llm: &Llm) -> Result<Prompt> {
        llm.prompt(&self.messages)
    }
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
    for unsupported in ["tool_calls", "prefix"] {
        let value = &value[unsupported];
        if !value.is_null() && !is_false(value) && !is_empty(value) {
            return Err(wrong(format!("{name}.{unsupported}"), "is not supported"));
        }
    }
    let content = content(&format!("{name}.content"), &value["content"])?;
    Ok(Message { role, content })
}

/// A text, or a list of parts that are texts.
fn content(name: &str, value: &Value) -> Result<String> {
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

/// `POST completions`: a text to continue as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    prompt: RawPrompt,
    /// The rest.
    pub settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum RawPrompt {
    Text(String),
    Tokens(Vec<u32>),
    OneText([String; 1]),
}

impl CompletionRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// As [`ChatRequest::from_json`].
    pub fn from_json(json: &str) -> Result<Self> {
        let fields = Fields::parse(json)?;
        fields.refuse(&[("echo", is_false), ("suffix", |suffix| suffix == "")])?;
        Ok(Self {
            prompt: fields
                .get("prompt")?
                .ok_or_else(|| wrong("prompt", "is missing"))?,
            settings: Settings::read(&fields)?,
        })
    }

    /// The text's ids.
    ///
    /// # Errors
    /// As [`Llm::raw_prompt`].
    pub fn prompt(&self, llm: &Llm) -> Result<Prompt> {
        match &self.prompt {
            RawPrompt::Text(text) | RawPrompt::OneText([text]) => llm.raw_prompt(text),
            RawPrompt::Tokens(tokens) if tokens.is_empty() => {
                Err(Error::Usage("the prompt is empty".into()))
            }
            RawPrompt::Tokens(tokens) => Ok(Prompt {
                tokens: tokens.clone(),
                opens_reasoning: false,
            }),
        }
    }
}

//! `POST chat/completions`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use super::fields::{Fields, MeansNothing, wrong};
use super::messages::messages;
use super::reply::ReplyKind;
use super::settings::{Settings, is_empty, is_false, is_nothing};
use super::tools::{Choice, choice, tools};
use crate::error::Result;
use crate::llm::{Calls, Grammar, Language, Shape};
use crate::text::{Conversation, Message, Prompt, Tool};

const UNSUPPORTED: &[(&str, MeansNothing)] = &[
    ("functions", is_empty),
    ("function_call", |call| call == "none" || call == "auto"),
    ("audio", is_nothing),
    ("modalities", |kinds| *kinds == json!(["text"])),
    ("web_search_options", is_nothing),
    ("chat_template", is_nothing),
    ("chat_template_kwargs", is_nothing),
    ("documents", is_nothing),
    ("continue_final_message", is_false),
    ("add_generation_prompt", |add| *add == true),
];

/// A conversation to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The turns so far.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    choice: Choice,
    parallel: bool,
    continues: bool,
    /// The schema of the answer, if it is JSON.
    schema: Option<Value>,
    thinking: Option<bool>,
    effort: Option<String>,
    budget: Option<usize>,
    settings: Settings,
}

#[derive(Deserialize)]
struct Thinking {
    r#type: String,
    budget_tokens: Option<usize>,
}

impl ChatRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`crate::error::Error::Parameter`] naming the field, [`crate::error::Error::Usage`] for what is no JSON object.
    pub fn from_json(json: &str) -> Result<Self> {
        let fields = Fields::parse(json)?;
        fields.refuse(UNSUPPORTED)?;
        let mut settings = Settings::read(&fields)?;
        if settings.max_tokens == Some(0) {
            let what = "is 0, but an answer has at least one token";
            return Err(wrong("max_tokens", what));
        }
        let best = fields.get("top_logprobs")?;
        match (fields.get("logprobs")?, best) {
            (Some(true), best) => settings.tell_logprobs("top_logprobs", best.or(Some(0)))?,
            (_, None | Some(0)) => {}
            _ => return Err(wrong("top_logprobs", "needs `logprobs` to be true")),
        }
        let (messages, continues) = messages(&fields.need::<Vec<Value>>("messages")?)?;
        let mut tools = tools(&fields)?;
        let choice = choice(&fields, &tools)?;
        if choice == Choice::None {
            tools.clear();
        }
        let (thinking, budget) = thinking(&fields)?;
        let effort: Option<String> = fields.get("reasoning_effort")?;
        let off = effort.as_deref() == Some("none");
        Ok(Self {
            messages,
            tools,
            choice,
            parallel: fields.get("parallel_tool_calls")?.unwrap_or(true),
            continues,
            schema: schema(&fields)?,
            thinking: thinking.or(off.then_some(false)),
            effort: effort.filter(|_| !off),
            budget,
            settings,
        })
    }

    /// The conversation as the model reads it, ready for its answer.
    pub(super) fn prompt(&self, language: &Language) -> Result<Prompt> {
        language.prompt(Conversation {
            messages: &self.messages,
            tools: &self.tools,
            thinking: self.thinking,
            effort: self.effort.as_deref(),
            continues: self.continues,
        })
    }

    /// What it asks of the model; `seed` is where random numbers start, unless it names one.
    ///
    /// # Errors
    /// [`crate::error::Error::Parameter`] for what the model cannot do; those of its template.
    pub fn ask(&self, language: &Language, seed: u64) -> Result<Asked> {
        let prompt = self.prompt(language)?;
        let mut options = self.settings.options(language, seed)?;
        options.thinking_budget = self.budget;
        if !self.tools.is_empty() {
            options.tools = language.tool_format();
        }
        if let Some(shape) = self.shape(language) {
            options.grammar = Some(Grammar::new(language, &shape)?);
        }
        let prompts = vec![(prompt, String::new())];
        Ok(Asked::new(
            ReplyKind::Chat,
            &self.settings,
            prompts,
            &options,
        ))
    }

    /// What the answer must look like, if that matters.
    fn shape<'s>(&'s self, language: &Language) -> Option<Shape<'s>> {
        let is_strict = self.tools.iter().any(|tool| tool.strict);
        let required = matches!(self.choice, Choice::Required | Choice::Named(_));
        let tools = match self.choice {
            Choice::Named(index) => &self.tools[index..=index],
            _ => &self.tools,
        };
        let is_free = self.schema.is_none() && !is_strict && !required;
        if is_free {
            return None;
        }
        let format = language.tool_format().filter(|_| !tools.is_empty());
        Some(Shape {
            schema: self.schema.as_ref(),
            calls: format.map(|format| Calls {
                format,
                tools,
                required,
                parallel: self.parallel && !matches!(self.choice, Choice::Named(_)),
            }),
        })
    }
}

/// Whether the model thinks, and how many tokens long.
fn thinking(fields: &Fields) -> Result<(Option<bool>, Option<usize>)> {
    let name = "thinking";
    let Some(thinking) = fields.get::<Thinking>(name)? else {
        return Ok((None, None));
    };
    match thinking.r#type.as_str() {
        "enabled" => Ok((Some(true), thinking.budget_tokens)),
        "disabled" => Ok((Some(false), None)),
        // The model decides.
        "auto" | "adaptive" => Ok((None, thinking.budget_tokens)),
        _ => Err(wrong(
            name,
            "has a type that is neither \"enabled\" nor \"disabled\"",
        )),
    }
}

/// The schema in `response_format`.
fn schema(fields: &Fields) -> Result<Option<Value>> {
    let name = "response_format";
    let Some(format) = fields.get::<Value>(name)? else {
        return Ok(None);
    };
    match format["type"].as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "type": "object" }))),
        Some("json_schema") => match &format["json_schema"]["schema"] {
            schema @ (Value::Object(_) | Value::Bool(true)) => Ok(Some(schema.clone())),
            _ => Err(wrong(format!("{name}.json_schema.schema"), "is no schema")),
        },
        _ => Err(wrong(
            format!("{name}.type"),
            "is none of text, json_object and json_schema",
        )),
    }
}

//! `POST completions`.

use serde::Deserialize;

use super::asked::Asked;
use super::fields::{Fields, wrong};
use super::reply::ReplyKind;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::llm::Language;
use crate::text::{Prompt, Specials};

/// The most prompts of a request.
const MOST_PROMPTS: usize = 64;

/// Texts to continue as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    prompts: Vec<RawPrompt>,
    /// What follows the text to be found.
    suffix: Option<String>,
    /// Whether the prompt is part of the reply.
    echo: bool,
    settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum RawPrompts {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    Lists(Vec<Vec<u32>>),
}

#[derive(Clone, Debug, PartialEq)]
enum RawPrompt {
    Text(String),
    Tokens(Vec<u32>),
}

impl CompletionRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// As [`super::ChatRequest::from_json`].
    pub fn from_json(json: &str) -> Result<Self> {
        let fields = Fields::parse(json)?;
        let mut settings = Settings::read(&fields)?;
        let best = match fields.get::<serde_json::Value>("logprobs")? {
            Some(serde_json::Value::Bool(false)) | None => None,
            Some(_) => fields.get("logprobs")?,
        };
        settings.tell_logprobs("logprobs", best)?;
        let prompts = match fields.need("prompt")? {
            RawPrompts::Text(text) => vec![RawPrompt::Text(text)],
            RawPrompts::Tokens(tokens) => vec![RawPrompt::Tokens(tokens)],
            RawPrompts::Texts(texts) => texts.into_iter().map(RawPrompt::Text).collect(),
            RawPrompts::Lists(lists) => lists.into_iter().map(RawPrompt::Tokens).collect(),
        };
        if prompts.len() > MOST_PROMPTS {
            let what = format!("has more than {MOST_PROMPTS} texts");
            return Err(wrong("prompt", what));
        }
        let suffix = fields.get("suffix")?;
        let suffix = suffix.filter(|suffix: &String| !suffix.is_empty());
        let echo = fields.get("echo")?.unwrap_or(false);
        if suffix.is_some() && echo {
            return Err(wrong("echo", "cannot be together with `suffix`"));
        }
        if settings.max_tokens == Some(0) && !echo {
            return Err(wrong(
                "max_tokens",
                "is 0, which only makes sense with `echo`",
            ));
        }
        Ok(Self {
            prompts,
            suffix,
            echo,
            settings,
        })
    }

    /// What it asks of the model; `seed` is where random numbers start, unless it names one.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what the model cannot do.
    pub fn ask(&self, language: &Language, seed: u64) -> Result<Asked> {
        let mut options = self.settings.options(language, seed)?;
        options.prompt_logprobs = self.echo && self.settings.logprobs.is_some();
        let mut prompts = Vec::with_capacity(self.prompts.len());
        for prompt in &self.prompts {
            let prompt = self.prompt(prompt, language)?;
            let mut echo = String::new();
            if self.echo {
                echo = language.tokenizer().decode(&prompt.tokens, Specials::Keep);
            }
            prompts.push((prompt, echo));
        }
        Ok(Asked::new(
            ReplyKind::Text,
            &self.settings,
            prompts,
            &options,
        ))
    }

    fn prompt(&self, prompt: &RawPrompt, language: &Language) -> Result<Prompt> {
        let named = |error| match error {
            Error::Usage(what) => wrong("prompt", format!("cannot be read: {what}")),
            error => error,
        };
        match (prompt, &self.suffix) {
            (RawPrompt::Text(text), None) => language.raw_prompt(text).map_err(named),
            (RawPrompt::Text(text), Some(suffix)) => language.middle_prompt(text, suffix),
            (RawPrompt::Tokens(_), Some(_)) => {
                Err(wrong("suffix", "needs a prompt that is a text"))
            }
            (RawPrompt::Tokens(tokens), None) => {
                let vocabulary = language.tokenizer().vocabulary();
                match tokens.iter().find(|&&token| token as usize >= vocabulary) {
                    _ if tokens.is_empty() => Err(wrong("prompt", "is empty")),
                    Some(token) => {
                        let what = format!("has token {token}, which is not below {vocabulary}");
                        Err(wrong("prompt", what))
                    }
                    None => Ok(Prompt {
                        tokens: tokens.clone(),
                        opens_reasoning: false,
                        closes_reasoning: false,
                    }),
                }
            }
        }
    }
}

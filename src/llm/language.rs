//! What a model reads and writes, apart from its weights: words, conversations, recommendations.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::grammar::Grammars;
use super::{GenerateOptions, open_checkpoint};
use crate::checkpoint::{Checkpoint, Source};
use crate::engine::Sampling;
use crate::error::{Error, Result};
use crate::models::architecture;
use crate::text::{
    ChatTemplate, Conversation, FIM, GenerationConfig, Prompt, Tokenizer, ToolFormat,
};

/// A model's tokenizer, chat template and recommendations. Any thread may use it while the model runs.
pub struct Language {
    pub(super) tokenizer: Arc<Tokenizer>,
    /// Its faults matter only when a conversation is rendered.
    template: Result<ChatTemplate>,
    /// What a raw prompt starts with, if the checkpoint says so.
    beginning: Option<u32>,
    pub(super) generation: GenerationConfig,
    context: usize,
    /// Only where there are grammars is it looked at.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code))]
    pub(super) grammars: Grammars,
}

impl Language {
    /// What the model that `source` reads reads and writes, without loading its weights.
    ///
    /// # Errors
    /// Every way in which files fail; see [`Error`].
    pub async fn open(source: &Rc<dyn Source>) -> Result<Self> {
        let checkpoint = open_checkpoint(source, false).await?;
        let shape = (architecture(&checkpoint)?.shape)(&checkpoint)?;
        Self::load(&checkpoint, shape.vocabulary, shape.context).await
    }

    /// Reads a checkpoint's texts, for sequences of up to `context` tokens of a `vocabulary`.
    pub(super) async fn load(
        checkpoint: &Checkpoint,
        vocabulary: usize,
        context: usize,
    ) -> Result<Self> {
        let tokenizer = load_tokenizer(checkpoint, vocabulary).await?;
        let texts = load_tokenizer_config(checkpoint).await?;
        let jinja = checkpoint.text("chat_template.jinja").await?;
        Ok(Self {
            template: ChatTemplate::from_config(&texts, jinja.as_deref()),
            beginning: beginning(&texts, &tokenizer),
            generation: load_generation(checkpoint, &tokenizer).await?,
            tokenizer: Arc::new(tokenizer),
            context,
            grammars: Grammars::default(),
        })
    }

    /// Words to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tokens that a conversation may have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The tokens that end an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.generation.eos_token_ids
    }

    /// How the model writes calls of tools; `None` without a template that works.
    pub fn tool_format(&self) -> Option<ToolFormat> {
        (self.template.as_ref().ok()).map(ChatTemplate::tool_format)
    }

    /// The chat template as it is written.
    pub fn template_source(&self) -> Option<String> {
        (self.template.as_ref().ok()).map(ChatTemplate::source)
    }

    /// The checkpoint's own recommendation, with the given seed.
    pub fn defaults(&self, seed: u64) -> GenerateOptions {
        let GenerationConfig {
            temperature,
            top_p,
            top_k,
            repetition_penalty,
            max_new_tokens,
            ..
        } = self.generation;
        let sampling = Sampling {
            temperature,
            top_k: top_k.unwrap_or(0),
            top_p,
            repetition_penalty,
            seed,
            ..Sampling::GREEDY
        };
        GenerateOptions {
            max_tokens: max_new_tokens,
            ..GenerateOptions::new(sampling)
        }
    }

    /// A conversation as the model reads it, ready for its answer.
    ///
    /// # Errors
    /// [`Error::Template`] if the checkpoint's template fails, [`Error::NotFound`] if it has none.
    pub fn prompt<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<Prompt> {
        match &self.template {
            Ok(template) => template.encode(&self.tokenizer, conversation, true),
            Err(Error::NotFound(why)) => {
                Err(Error::NotFound(format!("{why}; --raw works without one")))
            }
            Err(error) => Err(Error::Template(error.to_string())),
        }
    }

    /// A text as it is, with special tokens where it writes them, after the beginning-of-sequence
    /// token if the checkpoint wants one (`add_bos_token`) and the text has none.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing is left to read.
    pub fn raw_prompt(&self, text: &str) -> Result<Prompt> {
        let mut tokens = self.tokenizer.encode_with_specials(text)?;
        if tokens.is_empty() {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        if let Some(beginning) = self.beginning.filter(|&beginning| tokens[0] != beginning) {
            tokens.insert(0, beginning);
        }
        Ok(Prompt {
            tokens,
            opens_reasoning: false,
            closes_reasoning: false,
        })
    }

    /// A text with a hole before `suffix`, for the model to fill.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the model's tokenizer has no tokens for it.
    pub fn middle_prompt(&self, prefix: &str, suffix: &str) -> Result<Prompt> {
        let [begin, hole, end] = FIM.map(|marker| self.tokenizer.special(marker));
        let (Some(begin), Some(hole), Some(end)) = (begin, hole, end) else {
            return Err(Error::Parameter {
                name: "suffix".into(),
                what: "is not supported: the model was not made to fill in the middle".into(),
            });
        };
        let mut tokens: Vec<u32> = self.beginning.into_iter().collect();
        tokens.push(begin);
        tokens.extend(self.tokenizer.encode(prefix)?);
        tokens.push(hole);
        tokens.extend(self.tokenizer.encode(suffix)?);
        tokens.push(end);
        Ok(Prompt {
            tokens,
            opens_reasoning: false,
            closes_reasoning: false,
        })
    }
}

pub(super) async fn load_tokenizer(
    checkpoint: &Checkpoint,
    vocabulary: usize,
) -> Result<Tokenizer> {
    let file = "tokenizer.json";
    let json = checkpoint.text(file).await?;
    let missing = || {
        Error::NotFound(format!(
            "{}: no such file; a model needs its tokenizer",
            checkpoint.path(file)
        ))
    };
    Tokenizer::from_json(
        &checkpoint.path(file),
        json.ok_or_else(missing)?.as_bytes(),
        vocabulary,
    )
}

pub(super) async fn load_tokenizer_config(checkpoint: &Checkpoint) -> Result<Value> {
    let file = "tokenizer_config.json";
    match checkpoint.text(file).await? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| Error::damaged(checkpoint.path(file), error.to_string())),
    }
}

/// The beginning-of-sequence token, where `tokenizer_config.json` asks for it.
pub(super) fn beginning(config: &Value, tokenizer: &Tokenizer) -> Option<u32> {
    let wanted = config["add_bos_token"].as_bool() == Some(true);
    let token = &config["bos_token"];
    let token = token.as_str().or_else(|| token["content"].as_str());
    token
        .filter(|_| wanted)
        .and_then(|token| tokenizer.special(token))
}

/// The checkpoint's recommendation; stop tokens come from config.json where it names none.
async fn load_generation(
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
) -> Result<GenerationConfig> {
    let file = "generation_config.json";
    let mut generation = match checkpoint.text(file).await? {
        None => GenerationConfig::default(),
        Some(text) => GenerationConfig::from_json(&checkpoint.path(file), text.as_bytes())?,
    };
    if generation.eos_token_ids.is_empty() {
        let ids = checkpoint.config()["eos_token_id"].clone();
        let ids = if ids.is_array() {
            ids
        } else {
            Value::Array(vec![ids])
        };
        let ids = ids
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64);
        generation.eos_token_ids = ids
            .filter(|&id| id < tokenizer.vocabulary() as u64)
            .map(|id| id as u32)
            .collect();
    }
    Ok(generation)
}

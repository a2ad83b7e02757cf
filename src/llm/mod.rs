//! A model ready for use: checkpoint, engine and text put together.
//!
//! What the command line, the examples and the browser call; it prints nothing.

mod answer;
mod perplexity;
mod plan;
mod scores;
mod source;

use std::rc::Rc;
use std::sync::Arc;

use futures::Stream;
use serde_json::Value;

use crate::checkpoint::{Checkpoint, Source};
use crate::engine::{Engine, Limits, Sampling};
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::gpu::{AdapterReport, CacheType, DeviceOptions, Gpu};
use crate::models::{Loader, Model, ModelShape, Progress, architecture};
use crate::selftest::{Proven, prove_tiers};
use crate::text::{ChatTemplate, GenerationConfig, Message, Prompt, Tokenizer};

pub use answer::{Completion, Timings, Update, Usage};
pub use perplexity::{Divergence, Evaluation, Mean, Perplexity, Reference, Windows};
pub use plan::{Plan, weight_bytes};
pub use scores::{ScoreOptions, Scorer, Scores, score};
pub use source::{open_checkpoint, open_source};

/// Tokens of a sequence unless asked otherwise: the cache is reserved before the first of them.
const DEFAULT_CONTEXT: usize = 8192;
/// Tokens of a prompt that run in one step.
const STEP_TOKENS: usize = 256;

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Which device, with which of its features.
    pub device: DeviceOptions,
    /// Tokens that a sequence may have; what the model allows, but at most 8192, if `None`.
    pub context: Option<usize>,
    /// Sequences that may run together.
    pub sequences: usize,
    /// What projections are packed into on loading; as stored if `None`.
    pub quantize: Option<&'static Format>,
    /// Whether YaRN's `attn_factor` is left aside: [`Checkpoint::ignore_attn_factor`].
    pub ignore_attn_factor: bool,
    /// How the cache stores what attention keeps of a token.
    pub cache_type: &'static CacheType,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: DeviceOptions::default(),
            context: None,
            sequences: 1,
            quantize: None,
            ignore_attn_factor: false,
            cache_type: Default::default(),
        }
    }
}

/// How an answer is generated.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens; up to the end of the context if `None`.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Whether every token's experts are told: [`Update::Routes`].
    pub routes: bool,
}

/// A loaded model with its tokenizer and templates.
pub struct Llm {
    source: Rc<dyn Source>,
    options: LoadOptions,
    engine: Engine,
    disabled: Vec<String>,
    tokenizer: Arc<Tokenizer>,
    /// Its faults matter only when a conversation is rendered.
    template: Result<ChatTemplate>,
    /// What a raw prompt starts with, if the checkpoint says so.
    beginning: Option<u32>,
    generation: GenerationConfig,
}

impl Llm {
    /// Loads the model that `model` names: `demo` for the bundled one, a folder in Hugging Face
    /// layout, or a GGUF file.
    ///
    /// # Errors
    /// Every way in which files, adapters and memory fail; see [`Error`].
    pub async fn load(model: &str, options: LoadOptions) -> Result<Self> {
        Self::load_from(open_source(model)?, options, &|_| ()).await
    }

    /// Loads a model from wherever `source` reads, telling `progress` how far it is.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub async fn load_from(
        source: Rc<dyn Source>,
        options: LoadOptions,
        progress: &dyn Fn(Progress),
    ) -> Result<Self> {
        let checkpoint = open_checkpoint(&source, options.ignore_attn_factor).await?;
        // What is small comes first: its faults should not cost the time of loading weights.
        let vocabulary = (architecture(&checkpoint)?.shape)(&checkpoint)?.vocabulary;
        let tokenizer = load_tokenizer(&checkpoint, vocabulary).await?;
        let texts = load_tokenizer_config(&checkpoint).await?;
        let jinja = checkpoint.text("chat_template.jinja").await?;
        let template = ChatTemplate::from_config(&texts, jinja.as_deref());
        let generation = load_generation(&checkpoint, &tokenizer).await?;
        let (engine, disabled) = load_engine(&checkpoint, &options, progress).await?;
        Ok(Self {
            source,
            options,
            engine,
            disabled,
            beginning: beginning(&texts, &tokenizer),
            tokenizer: Arc::new(tokenizer),
            template,
            generation,
        })
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Gpu {
        self.engine.runner().gpu()
    }

    /// Tokens that a conversation may have.
    pub fn context(&self) -> usize {
        self.engine.context()
    }

    /// The adapter it runs on.
    pub fn device(&self) -> &AdapterReport {
        self.gpu().adapter()
    }

    /// A sentence for each feature of the device that is not used because it does not work.
    pub fn disabled(&self) -> &[String] {
        &self.disabled
    }

    /// Words to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What runs token ids.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
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
        GenerateOptions {
            sampling: Sampling {
                temperature,
                top_k: top_k.unwrap_or(0),
                top_p,
                min_p: 0.0,
                repetition_penalty,
                seed,
            },
            max_tokens: max_new_tokens,
            stop: Vec::new(),
            routes: false,
        }
    }

    /// A conversation as the model reads it, ready for its answer.
    ///
    /// # Errors
    /// [`Error::Template`] if the checkpoint's template fails, [`Error::NotFound`] if it has none.
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        match &self.template {
            Ok(template) => template.encode(&self.tokenizer, messages, true),
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
        })
    }

    /// Answers a prompt, piece by piece; dropping the stream stops the answer.
    ///
    /// # Errors
    /// [`Error::ContextExceeded`] or [`Error::Usage`] for what cannot be begun.
    pub fn generate<'a>(
        &'a mut self,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<impl Stream<Item = Result<Update>> + use<'a>> {
        answer::Answer::start(self, prompt, options).map(answer::Answer::stream)
    }

    /// Answers a conversation, piece by piece; dropping the stream stops the answer.
    ///
    /// # Errors
    /// As [`Llm::prompt`] and [`Llm::generate`].
    pub fn chat<'a>(
        &'a mut self,
        messages: &[Message],
        options: &GenerateOptions,
    ) -> Result<impl Stream<Item = Result<Update>> + use<'a>> {
        let prompt = self.prompt(messages)?;
        self.generate(&prompt, options)
    }

    /// Opens the device again and loads the weights anew, after it was lost.
    async fn reload(&mut self) -> Result<()> {
        let ignore = self.options.ignore_attn_factor;
        let checkpoint = open_checkpoint(&self.source, ignore).await?;
        (self.engine, self.disabled) = load_engine(&checkpoint, &self.options, &|_| ()).await?;
        Ok(())
    }
}

/// A checkpoint's weights on a device whose features work; needs neither tokenizer nor template.
///
/// # Errors
/// Every way in which weights, adapters and memory fail; see [`Error`].
pub async fn load_model(
    checkpoint: &Checkpoint,
    device: &DeviceOptions,
    quantize: Option<&'static Format>,
    progress: &dyn Fn(Progress),
) -> Result<(Proven, Box<dyn Model>)> {
    let architecture = architecture(checkpoint)?;
    let proven = prove_tiers(device).await?;
    proven.gpu.trim();
    let loader = Loader::new(&proven.gpu, checkpoint, quantize, progress);
    let model = (architecture.load)(&loader).await?;
    proven.gpu.flush().await?;
    // What the model leaves aside, such as a prediction layer, counts as done.
    let total = checkpoint.bytes();
    progress(Progress {
        loaded: total,
        total,
    });
    Ok((proven, model))
}

async fn load_engine(
    checkpoint: &Checkpoint,
    options: &LoadOptions,
    progress: &dyn Fn(Progress),
) -> Result<(Engine, Vec<String>)> {
    // Before anything slow happens.
    let shape = (architecture(checkpoint)?.shape)(checkpoint)?;
    let limits = limits(&shape, options)?;
    let (Proven { gpu, disabled }, model) =
        load_model(checkpoint, &options.device, options.quantize, progress).await?;
    Ok((Engine::new(gpu, model, limits).await?, disabled))
}

/// What an engine reserves for `options`.
fn limits(shape: &ModelShape, options: &LoadOptions) -> Result<Limits> {
    let context = match options.context {
        Some(0) => return Err(Error::Usage("a context of 0 tokens holds nothing".into())),
        Some(context) if context > shape.context => {
            return Err(Error::Usage(format!(
                "a context of {context} tokens is longer than the {} that the model was made for",
                shape.context
            )));
        }
        Some(context) => context,
        None => shape.context.min(DEFAULT_CONTEXT),
    };
    let sequences = options.sequences.max(1);
    Ok(Limits {
        context,
        sequences,
        step_tokens: STEP_TOKENS,
        cache_tokens: context.saturating_mul(sequences),
        cache_type: options.cache_type,
    })
}

async fn load_tokenizer(checkpoint: &Checkpoint, vocabulary: usize) -> Result<Tokenizer> {
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

async fn load_tokenizer_config(checkpoint: &Checkpoint) -> Result<Value> {
    let file = "tokenizer_config.json";
    match checkpoint.text(file).await? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| Error::damaged(checkpoint.path(file), error.to_string())),
    }
}

/// The beginning-of-sequence token, where `tokenizer_config.json` asks for it.
fn beginning(config: &Value, tokenizer: &Tokenizer) -> Option<u32> {
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

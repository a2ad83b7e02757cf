//! A model ready for use: checkpoint, engine and text put together.
//!
//! What the command line, the examples and the browser call; it prints nothing.

mod ahead;
mod answer;
mod answers;
mod card;
#[cfg_attr(target_arch = "wasm32", path = "no_grammar.rs")]
mod grammar;
mod language;
#[cfg(not(target_arch = "wasm32"))]
mod lark;
mod options;
mod perplexity;
mod plan;
mod saved;
mod scores;
mod shape;
mod source;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use answers::Answers;
use futures::Stream;
use futures::future::LocalBoxFuture;

use crate::checkpoint::{Checkpoint, Source};
use crate::engine::{Engine, Limits, Speculate, Tune};
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::gpu::{AdapterReport, CacheType, DeviceOptions, Gpu};
use crate::models::{Loader, Model, ModelShape, Progress, WeightOptions, architecture};
use crate::selftest::{Proven, prove_tiers};
use crate::text::{Message, Prompt, Tokenizer};

pub use answer::{Completion, ScoredToken, Timings, Update, Usage};
pub use answers::AnswerId;
pub use card::{Card, weights_sha256};
pub use grammar::Grammar;
pub use language::Language;
pub use options::GenerateOptions;
pub use perplexity::{Divergence, Evaluation, Mean, Perplexity, Reference, Windows};
pub use plan::{Plan, weight_bytes};
pub use scores::{ScoreOptions, Scorer, Scores, score};
pub use shape::{Calls, Shape};
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
    /// Steps that the device has to work on at once, as suits it if `None`; answers do not depend on it.
    pub in_flight: Option<NonZeroUsize>,
    /// Whether tokens are guessed and then checked together.
    pub speculate: Speculate,
    /// Whether constants are measured that suit the device.
    pub tune: Tune,
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
            in_flight: None,
            speculate: Speculate::default(),
            tune: Tune::Never,
        }
    }
}

impl LoadOptions {
    /// Which weights are loaded.
    fn weights(&self) -> WeightOptions {
        WeightOptions {
            quantize: self.quantize,
            prediction: self.speculate.predicts(),
        }
    }
}

/// A loaded model with its tokenizer and templates.
pub struct Llm {
    source: Rc<dyn Source>,
    options: LoadOptions,
    engine: Engine,
    disabled: Vec<String>,
    language: Arc<Language>,
    answers: Answers,
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
    pub fn load_from(
        source: Rc<dyn Source>,
        options: LoadOptions,
        progress: &dyn Fn(Progress),
    ) -> LocalBoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let checkpoint = open_checkpoint(&source, options.ignore_attn_factor).await?;
            // What is small comes first: its faults should not cost the time of loading weights.
            let shape = (architecture(&checkpoint)?.shape)(&checkpoint)?;
            let context = limits(&shape, &options)?.context;
            let language = Language::load(&checkpoint, shape.vocabulary, context).await?;
            let (engine, disabled) = load_engine(&checkpoint, &options, progress).await?;
            Ok(Self {
                source,
                // What was measured once is known when the device is opened again.
                options: LoadOptions {
                    tune: Tune::Never,
                    ..options
                },
                engine,
                disabled,
                language: Arc::new(language),
                answers: Answers::default(),
            })
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
        self.language.tokenizer()
    }

    /// What it reads and writes, for other threads as well.
    pub fn language(&self) -> &Arc<Language> {
        &self.language
    }

    /// What runs token ids.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The checkpoint's own recommendation, with the given seed.
    pub fn defaults(&self, seed: u64) -> GenerateOptions {
        self.language.defaults(seed)
    }

    /// A conversation as the model reads it: [`Language::prompt`].
    ///
    /// # Errors
    /// As [`Language::prompt`].
    pub fn prompt(&self, messages: &[Message]) -> Result<Prompt> {
        self.language.prompt(messages)
    }

    /// A text as it is: [`Language::raw_prompt`].
    ///
    /// # Errors
    /// As [`Language::raw_prompt`].
    pub fn raw_prompt(&self, text: &str) -> Result<Prompt> {
        self.language.raw_prompt(text)
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
        let id = self.begin(prompt, options)?;
        Ok(self.stream(id))
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

/// A checkpoint's weights on a device whose features work; needs neither tokenizer nor template. The kernels
/// for a cache of rows of a `kind` are compiled meanwhile.
///
/// # Errors
/// Every way in which weights, adapters and memory fail; see [`Error`].
pub fn load_model<'a>(
    checkpoint: &'a Checkpoint,
    device: &'a DeviceOptions,
    weights: WeightOptions,
    kind: &'static CacheType,
    progress: &'a dyn Fn(Progress),
) -> LocalBoxFuture<'a, Result<(Proven, Box<dyn Model>)>> {
    Box::pin(async move {
        let architecture = architecture(checkpoint)?;
        let proven = prove_tiers(device).await?;
        proven.gpu.trim();
        // Without it the first step compiles them, which takes longer but is no fault.
        _ = ahead::compile(&proven.gpu, checkpoint, weights, kind).await;
        let loader = Loader::new(&proven.gpu, checkpoint, weights, progress);
        let model = (architecture.load)(&loader).await?;
        proven.gpu.flush().await?;
        // What the model leaves aside, such as a layer of predictions nobody wants, counts as done.
        let total = checkpoint.bytes();
        progress(Progress {
            loaded: total,
            total,
        });
        Ok((proven, model))
    })
}

async fn load_engine(
    checkpoint: &Checkpoint,
    options: &LoadOptions,
    progress: &dyn Fn(Progress),
) -> Result<(Engine, Vec<String>)> {
    // Before anything slow happens.
    let shape = (architecture(checkpoint)?.shape)(checkpoint)?;
    let limits = limits(&shape, options)?;
    let (device, kind) = (&options.device, options.cache_type);
    let (Proven { gpu, disabled }, model) =
        load_model(checkpoint, device, options.weights(), kind, progress).await?;
    let mut engine = Engine::new(gpu, model, limits).await?;
    if let Some(steps) = options.in_flight {
        engine.keep_in_flight(steps);
    }
    engine.speculate(options.speculate);
    engine.tune(options.tune).await?;
    Ok((engine, disabled))
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

//! What a browser calls: the library behind wasm-bindgen. Texts that cross over are JSON.
//!
//! Computes nothing of its own and knows no page: the package's worker (`examples/web`) talks to it.

mod bench;
mod failure;
mod files;
mod learnt;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use futures::{Stream, StreamExt, pin_mut};
use js_sys::{Float32Array, Function, Object, Reflect};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::engine::{Speculate, Tune};
use crate::error::{Error, Result};
use crate::formats::Format;
use crate::gpu::{CacheType, DeviceOptions, Store};
use crate::llm::{Llm, LoadOptions, ScoreOptions, Update, score};
use crate::models::Progress;
use crate::openai::{Asked, ChatRequest, CompletionRequest};
use crate::selftest::{self, Check};
use crate::text::Specials;

pub use bench::time_matmul;
use failure::Failure;
use files::Files;
use learnt::Learnt;

#[wasm_bindgen]
extern "C" {
    /// Who asked, and reads the reply.
    pub type Client;
    /// Passes an object of the reply on.
    #[wasm_bindgen(method)]
    fn send(this: &Client, json: &str);
    /// Whether nobody wants the rest.
    #[wasm_bindgen(method, getter)]
    fn stopped(this: &Client) -> bool;
    /// The identity of the reply.
    #[wasm_bindgen(method, getter)]
    fn id(this: &Client) -> String;
    /// The seed, unless the request names one.
    #[wasm_bindgen(method, getter)]
    fn seed(this: &Client) -> u32;
    /// Seconds since 1970.
    #[wasm_bindgen(method, getter)]
    fn created(this: &Client) -> f64;
}

/// Has panics, which are bugs, say on the console what happened.
#[wasm_bindgen(start)]
fn start() {
    failure::report_panics();
}

/// How a model is loaded, as the package's `CreateOptions` say it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    context: Option<usize>,
    quantize: Option<String>,
    cache_type: Option<String>,
    #[serde(rename = "noF16")]
    no_f16: bool,
    retune: bool,
}

impl Options {
    fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| Error::Usage(format!("options: {error}")))
    }

    fn device(&self) -> DeviceOptions {
        DeviceOptions {
            no_f16: self.no_f16,
            ..DeviceOptions::default()
        }
    }

    fn format(&self) -> Result<Option<&'static Format>> {
        let named = |name: &str| {
            let unknown = || Error::Usage(format!("quantize: there is no format {name:?}"));
            Format::named(name).ok_or_else(unknown)
        };
        self.quantize.as_deref().map(named).transpose()
    }

    fn cache_type(&self) -> Result<&'static CacheType> {
        let named = |name: &str| {
            let unknown = || Error::Usage(format!("cacheType: there is no type {name:?}"));
            CacheType::named(name).ok_or_else(unknown)
        };
        self.cache_type
            .as_deref()
            .map_or(Ok(Default::default()), named)
    }
}

/// Tells `progress` of bytes that are on the device.
fn uploads(progress: &Function) -> impl Fn(Progress) {
    |Progress { loaded, total }| tell(progress, "upload", loaded, total)
}

fn tell(progress: &Function, phase: &str, loaded: u64, total: u64) {
    let [loaded, total] = [loaded, total].map(|bytes| JsValue::from(bytes as f64));
    // Whoever listens wrongly does not stop the loading.
    _ = progress.call3(&JsValue::NULL, &phase.into(), &loaded, &total);
}

/// A loaded model.
#[wasm_bindgen]
pub struct Model {
    llm: Llm,
    name: String,
    recoveries: u32,
}

#[wasm_bindgen]
impl Model {
    /// Loads the model called `name` from `files`; `progress` is called with a phase, and bytes
    /// so far and in all. What is learnt of the GPU is kept in `learnt`, if there is one.
    ///
    /// # Errors
    /// As [`Llm::load_from`].
    pub async fn load(
        files: Files,
        name: String,
        options: String,
        progress: Function,
        learnt: Option<Learnt>,
    ) -> std::result::Result<Self, Failure> {
        let options = Options::parse(&options)?;
        let load = LoadOptions {
            device: DeviceOptions {
                store: learnt.map(|learnt| Rc::new(learnt) as Rc<dyn Store>),
                ..options.device()
            },
            tune: if options.retune {
                Tune::Again
            } else {
                Tune::Unknown
            },
            context: options.context,
            quantize: options.format()?,
            cache_type: options.cache_type()?,
            // A layer of predictions is not worth its download for one who reads along.
            speculate: Speculate::Off,
            ..LoadOptions::default()
        };
        let mut llm = Llm::load_from(Rc::new(files), load, &uploads(&progress)).await?;
        tell(&progress, "compile", 0, 1);
        llm.engine().warm_up().await?;
        tell(&progress, "compile", 1, 1);
        Ok(Self {
            llm,
            name,
            recoveries: 0,
        })
    }

    /// Answers a request of `POST chat/completions`: `client` gets the objects of the reply.
    ///
    /// # Errors
    /// As [`Llm::generate`], and whatever fails on the way.
    pub async fn chat(
        &mut self,
        request: String,
        client: Client,
    ) -> std::result::Result<(), Failure> {
        let request = ChatRequest::from_json(&request)?;
        let asked = request.ask(self.llm.language(), u64::from(client.seed()))?;
        self.answer(&asked, &client).await
    }

    /// Continues a text as `POST completions` does.
    ///
    /// # Errors
    /// As [`Model::chat`].
    pub async fn complete(
        &mut self,
        request: String,
        client: Client,
    ) -> std::result::Result<(), Failure> {
        let request = CompletionRequest::from_json(&request)?;
        let asked = request.ask(self.llm.language(), u64::from(client.seed()))?;
        self.answer(&asked, &client).await
    }

    /// Answers choice after choice: one has the device to itself.
    async fn answer(&mut self, asked: &Asked, client: &Client) -> std::result::Result<(), Failure> {
        let language = Arc::clone(self.llm.language());
        let created = client.created() as u64;
        let mut reply = asked.reply(&language, &client.id(), created, &self.name);
        if asked.stream {
            send(client, &reply.opening());
        }
        let mut completions = Vec::with_capacity(asked.answers.len());
        for (choice, (prompt, options)) in asked.answers.iter().enumerate() {
            let updates = self.llm.generate(prompt, options)?;
            pin_mut!(updates);
            while let Some(update) = next_unless_stopped(&mut updates, client).await {
                let update = update?;
                match &update {
                    Update::DeviceLost(why) => send(client, &[json!({ "lost": why })]),
                    Update::DeviceReopened => {
                        self.recoveries += 1;
                        send(client, &[json!({ "reopened": true })]);
                    }
                    update if asked.stream => send(client, &reply.chunks(choice, update)),
                    _ => {}
                }
                if let Update::Done(completion) = update {
                    completions.push(completion);
                }
            }
        }
        if completions.len() < asked.answers.len() {
            return Ok(());
        }
        if asked.stream {
            let usages: Vec<_> = completions.iter().map(|it| it.usage).collect();
            send(client, reply.closing(&usages).as_slice());
        } else {
            send(client, &[reply.whole(&completions)]);
        }
        Ok(())
    }

    /// The ids of `text`, special tokens included where it writes them.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn tokenize(&self, text: &str) -> std::result::Result<Vec<u32>, Failure> {
        Ok(self.llm.tokenizer().encode_with_specials(text)?)
    }

    /// The text of `tokens`, special ones included.
    ///
    /// # Errors
    /// For ids that are not below the vocabulary.
    pub fn detokenize(&self, tokens: &[u32]) -> std::result::Result<String, Failure> {
        let tokenizer = self.llm.tokenizer();
        let vocabulary = tokenizer.vocabulary();
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            let what = format!("token {token} is not below the vocabulary of {vocabulary}");
            return Err(Error::Usage(what).into());
        }
        Ok(tokenizer.decode(tokens, Specials::Keep))
    }

    /// Runs every kernel and sends `client` how far each is from its reference.
    ///
    /// # Errors
    /// As [`selftest::run`].
    pub async fn self_test(&self, client: Client) -> std::result::Result<(), Failure> {
        let gpu = self.llm.gpu();
        let mut send = |check: &Check| client.send(&check_json(check).to_string());
        selftest::run(gpu, &mut send).await?;
        Ok(())
    }

    /// What is known of the device and of the model's room.
    pub fn facts(&self) -> String {
        let (gpu, adapter) = (self.llm.gpu(), self.llm.device());
        let facts = json!({
            "software": adapter.is_software(),
            "f16": gpu.tiers.f16,
            "subgroupSize": gpu.tiers.subgroup_size,
            "disabled": self.llm.disabled(),
            "bindingBytes": gpu.binding_limit,
            "context": self.llm.context(),
            "recoveries": self.recoveries,
        });
        facts.to_string()
    }
}

fn send(client: &Client, objects: &[serde_json::Value]) {
    for object in objects {
        client.send(&object.to_string());
    }
}

/// The next update; `None` at the end, or when the client has gone.
async fn next_unless_stopped<U>(
    updates: &mut (impl Stream<Item = U> + Unpin),
    client: &Client,
) -> Option<U> {
    poll_fn(|context| {
        if client.stopped() {
            return Poll::Ready(None);
        }
        updates.poll_next_unpin(context)
    })
    .await
}

fn check_json(check: &Check) -> serde_json::Value {
    json!({
        "kernel": check.kernel,
        "format": check.format,
        "error": check.error.is_finite().then_some(check.error),
        "tolerance": check.tolerance,
        "passed": check.passed,
        "fault": check.fault,
    })
}

/// The raw scores of `tokens`, for comparing with other implementations; needs no tokenizer.
/// `{ logits, vocabulary }`, a row of scores per token.
///
/// # Errors
/// As [`score`].
#[wasm_bindgen]
pub async fn logits(
    files: Files,
    tokens: Vec<u32>,
    options: String,
    progress: Function,
) -> std::result::Result<Object, Failure> {
    let options = Options::parse(&options)?;
    let checkpoint = Checkpoint::open(Rc::new(files)).await?;
    let how = ScoreOptions {
        device: options.device(),
        quantize: options.format()?,
        cache_type: options.cache_type()?,
        ..ScoreOptions::default()
    };
    let scores = score(&checkpoint, &tokens, &how, &uploads(&progress)).await?;
    let result = Object::new();
    let logits = Float32Array::from(scores.logits.as_slice());
    for (name, value) in [
        ("logits", logits.into()),
        ("vocabulary", scores.vocabulary.into()),
    ] {
        Reflect::set(&result, &name.into(), &value).map_err(Failure::from)?;
    }
    Ok(result)
}

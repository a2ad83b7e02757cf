//! `GET metrics`: what the server did so far, in the format of Prometheus, by names of its own and by those
//! that watchers of vLLM know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use super::app::App;
use super::errors::Refusal;
use crate::engine::Engine;
use crate::error::Error;
use crate::llm::Completion;

const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Number = Gauge<f64, AtomicU64>;
type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// The numbers of a server.
pub(super) struct Metrics {
    registry: Registry,
    running: Number,
    waiting: Number,
    cache_usage: Number,
    preemptions: Counter,
    ended: ByReason,
    losses: Counter,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    generation_tokens: Counter,
    guesses: Counter,
    right_guesses: Counter,
    first_token: Histogram,
    per_token: Histogram,
    whole: Histogram,
}

impl Metrics {
    /// All of them, of the model called `model`.
    pub(super) fn new(model: &str) -> Self {
        let label = ("model_name".into(), model.to_owned().into());
        let registry = Registry::with_labels([label].into_iter());
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let mut metrics = Self {
            registry,
            running: Gauge::default(),
            waiting: Gauge::default(),
            cache_usage: Gauge::default(),
            preemptions: Counter::default(),
            ended: ByReason::default(),
            losses: Counter::default(),
            prompt_tokens: Counter::default(),
            cached_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            guesses: Counter::default(),
            right_guesses: Counter::default(),
            first_token: seconds(),
            per_token: seconds(),
            whole: seconds(),
        };
        metrics.register();
        metrics
    }

    /// Counters get `_total` at their end by themselves.
    fn register(&mut self) {
        let registry = &mut self.registry;
        let mut add = Names { registry };
        add.both(
            "requests_running",
            "num_requests_running",
            "Answers that are being generated",
            &self.running,
        );
        add.both(
            "requests_waiting",
            "num_requests_waiting",
            "Answers that wait for a slot",
            &self.waiting,
        );
        let help = "The share of the cache that answers use, 0 to 1";
        add.both(
            "cache_usage_ratio",
            "kv_cache_usage_perc",
            help,
            &self.cache_usage,
        );
        add.vllm("gpu_cache_usage_perc", help, &self.cache_usage);
        let help = "How often an answer lost its cache to an older one";
        add.both("preemptions", "num_preemptions", help, &self.preemptions);
        add.both(
            "answers",
            "request_success",
            "Answers that ended, by the reason",
            &self.ended,
        );
        add.own(
            "device_losses",
            "How often the device was lost",
            &self.losses,
        );
        self.register_tokens();
    }

    fn register_tokens(&mut self) {
        let registry = &mut self.registry;
        let mut add = Names { registry };
        add.both(
            "prompt_tokens",
            "prompt_tokens",
            "Tokens of prompts",
            &self.prompt_tokens,
        );
        add.both(
            "generation_tokens",
            "generation_tokens",
            "Tokens that were generated",
            &self.generation_tokens,
        );
        add.both(
            "guessed_tokens",
            "spec_decode_num_draft_tokens",
            "Tokens that were guessed and checked",
            &self.guesses,
        );
        add.both(
            "right_guesses",
            "spec_decode_num_accepted_tokens",
            "Those of them that were right",
            &self.right_guesses,
        );
        add.vllm(
            "prefix_cache_queries",
            "Tokens of prompts that were looked for in the cache",
            &self.prompt_tokens,
        );
        add.both(
            "cached_tokens",
            "prefix_cache_hits",
            "Tokens of prompts that were in the cache",
            &self.cached_tokens,
        );
        add.both(
            "time_to_first_token_seconds",
            "time_to_first_token_seconds",
            "From a request to the first token",
            &self.first_token,
        );
        add.both(
            "time_per_output_token_seconds",
            "time_per_output_token_seconds",
            "Between two tokens, on average over an answer",
            &self.per_token,
        );
        add.both(
            "answer_seconds",
            "e2e_request_latency_seconds",
            "From a request to the end of its answer",
            &self.whole,
        );
    }

    /// Notes how busy the engine is.
    pub(super) fn busy(&self, engine: &Engine) {
        let (load, guesses) = (engine.load(), engine.guesses());
        self.running.set(load.running as f64);
        self.waiting.set(load.waiting as f64);
        let used = load.blocks - load.free_blocks;
        self.cache_usage
            .set(used as f64 / load.blocks.max(1) as f64);
        // They start anew with an engine, as counters may.
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.preemptions, load.preemptions);
        set(&self.guesses, guesses.made as u64);
        set(&self.right_guesses, guesses.right as u64);
    }

    /// Notes the first token of an answer.
    pub(super) fn began(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// Notes a whole answer.
    pub(super) fn done(&self, completion: &Completion, after: Duration) {
        let usage = &completion.usage;
        self.prompt_tokens.inc_by(usage.prompt_tokens as u64);
        self.cached_tokens.inc_by(usage.cached_tokens as u64);
        self.generation_tokens
            .inc_by(usage.completion_tokens as u64);
        self.whole.observe(after.as_secs_f64());
        if usage.completion_tokens > 1 {
            let decode = completion.timings.decode.as_secs_f64();
            self.per_token
                .observe(decode / (usage.completion_tokens - 1) as f64);
        }
        self.ended(completion.finish_reason.name());
    }

    /// Notes an answer that nobody waited for any more.
    pub(super) fn cancelled(&self) {
        self.ended("abort");
    }

    /// Notes an answer that failed.
    pub(super) fn failed(&self) {
        self.ended("error");
    }

    /// Notes that the device was lost.
    pub(super) fn lost(&self) {
        self.losses.inc();
    }

    fn ended(&self, reason: &'static str) {
        self.ended
            .get_or_create(&[("finished_reason", reason)])
            .inc();
    }
}

/// Where metrics get their names.
struct Names<'a> {
    registry: &'a mut Registry,
}

impl Names<'_> {
    fn own(&mut self, name: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.registry
            .register(format!("tiefsee_{name}"), help, metric.clone());
    }

    fn vllm(&mut self, name: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.registry
            .register(format!("vllm:{name}"), help, metric.clone());
    }

    fn both(&mut self, own: &str, vllm: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.own(own, help, metric);
        self.vllm(vllm, help, metric);
    }
}

/// All of them as text.
///
/// # Errors
/// If they cannot be written, which is a bug.
pub(super) fn text(app: &App) -> Result<Response, Refusal> {
    let mut text = String::new();
    encode(&mut text, &app.metrics.registry)
        .map_err(|error| Error::Internal(format!("metrics: {error}")))?;
    Ok(([(CONTENT_TYPE, FORMAT)], text).into_response())
}

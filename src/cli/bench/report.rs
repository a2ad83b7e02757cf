//! What a run gave, and the same for programs.

use serde_json::{Value, json};
use tiefsee::gpu::{AdapterReport, Clock, MatrixUnit, Tiers};
use tiefsee::selftest::Roof;

use super::by_op::Op;
use super::compare::Comparison;
use super::cost::{DEEPSEEK_R1, Price};
use super::measure::Row;
use super::samples::{deviation, median};

/// What a file says that is the result of a run, in its `kind`.
pub(super) const KIND: &str = "tiefsee bench";

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Markdown tables
    Md,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object
    Json,
}

/// How results are asked for.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FormatArguments {
    /// How results are written
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "md"
    )]
    output: Format,
    /// Write one JSON object, as -o json does
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl FormatArguments {
    /// The format that is asked for.
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// What happens before the first token of a fresh process, in seconds, and what of it is left later.
pub(super) struct Start {
    /// Opening the device and trying its features.
    pub(super) device: f64,
    /// Loading the weights.
    pub(super) load: f64,
    /// Tokens of the prompt.
    pub(super) prompt_tokens: usize,
    /// From the program's start to the first token.
    pub(super) first_token: f64,
    /// The prompt of that token, kernels compiled on the way included.
    pub(super) cold_prompt: f64,
    /// The same prompt again.
    pub(super) warm_prompt: f64,
}

impl Start {
    /// What the first prompt took longer than the second.
    pub(super) fn compile(&self) -> f64 {
        (self.cold_prompt - self.warm_prompt).max(0.0)
    }
}

/// All tests of one model on one device.
pub(super) struct Report {
    pub(super) model: String,
    pub(super) stored_bytes: u64,
    pub(super) quantize: Option<&'static str>,
    pub(super) cache_type: &'static str,
    pub(super) adapter: AdapterReport,
    pub(super) tiers: Tiers,
    pub(super) layers: usize,
    pub(super) weight_bytes: u64,
    pub(super) roof: Roof,
    pub(super) start: Start,
    pub(super) price: Option<Price>,
    pub(super) left_out: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// How a clock is called.
pub(super) fn clock_name(clock: Clock) -> &'static str {
    match clock {
        Clock::Device => "device",
        Clock::Host => "host",
    }
}

impl Report {
    /// The format of the weights.
    pub(super) fn format(&self) -> &str {
        self.quantize.unwrap_or("as stored")
    }

    /// What a million generated tokens cost, where a price is known.
    pub(super) fn cost(&self, row: &Row) -> Option<f64> {
        let price = self.price.filter(|_| row.test.generates)?;
        Some(price.per_million(row.mean()))
    }

    /// What is counted of a test, by name.
    pub(super) fn numbers(&self, row: &Row) -> Vec<(&'static str, Value)> {
        let rate = row.bytes_per_second();
        let read: u64 = row.ops.iter().map(|op| op.traffic.read).sum();
        vec![
            ("tokens", json!(row.test.tokens)),
            ("depth", json!(row.test.depth)),
            ("tokens_per_second", json!(row.mean())),
            ("median", json!(median(&row.speeds))),
            ("deviation", json!(deviation(&row.speeds))),
            ("best", json!(row.best())),
            ("bytes_per_token", json!(row.token_bytes)),
            (
                "read_bytes_per_token",
                json!(row.test.generates.then_some(read)),
            ),
            ("bytes_per_second", json!(rate)),
            (
                "bandwidth_share",
                json!(rate.map(|rate| rate / self.roof.bandwidth)),
            ),
            ("step_tokens", json!(row.step_tokens)),
            ("launches_per_step", json!(row.launches)),
            (
                "launches_per_layer",
                json!(row.launches as f64 / self.layers as f64),
            ),
            ("submits_per_step", json!(row.submits)),
            ("host_us_per_step", json!(1e6 * row.host)),
            ("host_us_per_launch", json!(1e6 * row.host_per_launch())),
            ("launches_us_per_step", json!(1e6 * row.device())),
            ("cost_per_million_tokens", json!(self.cost(row))),
        ]
    }

    fn op(&self, op: &Op, step: f64) -> Value {
        let [bandwidth_share, peak_share] = op.shares(&self.roof);
        let us: Vec<f64> = op.seconds.iter().map(|seconds| 1e6 * seconds).collect();
        json!({
            "kernel": op.kernel,
            "format": op.format,
            "launches": op.launches,
            "us": 1e6 * op.took(),
            "samples_us": us,
            "us_per_launch": 1e6 * op.took() / op.launches as f64,
            "share_of_step": op.took() / step,
            "read_bytes": op.traffic.read,
            "written_bytes": op.traffic.written,
            "least_bytes": op.traffic.least,
            "bytes_per_second": op.bandwidth(),
            "bandwidth_share": bandwidth_share,
            "operations": op.traffic.operations,
            "operations_per_second": op.speed(),
            "peak_share": peak_share,
        })
    }

    fn test(&self, row: &Row) -> Value {
        let mut object = json!({ "test": row.test.name(), "samples": row.speeds });
        for (name, value) in self.numbers(row) {
            object[name] = value;
        }
        let op = |op| self.op(op, row.device());
        object["clock"] = json!(clock_name(row.clock));
        object["ops"] = row.ops.iter().map(op).collect();
        object
    }

    /// The whole run as one object, whose names stay.
    pub(super) fn json(&self, comparison: Option<&Comparison>) -> Value {
        let AdapterReport { info, .. } = &self.adapter;
        let start = &self.start;
        json!({
            "kind": KIND,
            "model": self.model,
            "stored_bytes": self.stored_bytes,
            "format": self.format(),
            "cache_type": self.cache_type,
            "layers": self.layers,
            "weight_bytes_per_token": self.weight_bytes,
            "device": {
                "name": info.name,
                "kind": self.adapter.kind(),
                "backend": info.backend.to_string(),
                "driver": format!("{} {}", info.driver, info.driver_info),
                "subgroup_size": self.tiers.subgroup_size,
                "f16": self.tiers.f16,
                "matrix": self.tiers.matrix.map(MatrixUnit::name),
                "int64": self.tiers.int64,
            },
            "copy_bandwidth": self.roof.bandwidth,
            "peak": self.roof.peak,
            "start": {
                "device_seconds": start.device,
                "load_seconds": start.load,
                "prompt_tokens": start.prompt_tokens,
                "first_token_seconds": start.first_token,
                "cold_prompt_seconds": start.cold_prompt,
                "warm_prompt_seconds": start.warm_prompt,
                "compile_seconds": start.compile(),
            },
            "price": self.price.map(|price| json!({
                "watts": price.watts,
                "per_kwh": price.per_kwh,
                "deepseek_r1_per_million_tokens": DEEPSEEK_R1,
            })),
            "left_out": self.left_out,
            "tests": self.rows.iter().map(|row| self.test(row)).collect::<Vec<_>>(),
            "comparison": comparison.map(Comparison::json),
        })
    }
}

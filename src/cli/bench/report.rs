//! Results as a Markdown table, CSV or JSON.

use std::fmt::Write;

use serde_json::{Value, json};
use tiefsee::gpu::{AdapterReport, Tiers};

use super::measure::Row;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A Markdown table
    Md,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object
    Json,
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
    /// Bytes a second that a kernel reads at best.
    pub(super) bandwidth: f64,
    pub(super) left_out: Vec<String>,
    pub(super) rows: Vec<Row>,
}

const CSV: &str = "model,format,device,test,tokens,depth,tokens_per_second,deviation,best,bytes_per_token,\
                   bytes_per_second,bandwidth_share,launches_per_step,launches_per_layer,submits_per_step,\
                   host_us_per_launch";

impl Report {
    pub(super) fn text(&self, format: Format) -> String {
        match format {
            Format::Md => self.markdown(),
            Format::Csv => self.csv(),
            Format::Json => format!("{:#}\n", self.json()),
        }
    }

    fn format(&self) -> &str {
        self.quantize.unwrap_or("as stored")
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| model | size | format | device | test | t/s | best | GB/s | of bandwidth | launches | us/launch |\n\
             |---|---:|---|---|---|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let rate = row.bytes_per_second();
            let rates = rate.map_or(["-".into(), "-".into()], |rate| {
                [
                    format!("{:.2}", rate / 1e9),
                    format!("{:.0} %", 100.0 * rate / self.bandwidth),
                ]
            });
            _ = writeln!(
                text,
                "| {} | {:.2} MiB | {} | {} | {} | {:.2} ± {:.2} | {:.2} | {} | {} | {} | {:.1} |",
                self.model,
                self.stored_bytes as f64 / f64::from(1 << 20),
                self.format(),
                self.adapter.info.name,
                row.test.name(),
                row.mean(),
                row.deviation(),
                row.best(),
                rates[0],
                rates[1],
                row.launches,
                1e6 * row.host_per_launch,
            );
        }
        _ = writeln!(
            text,
            "\nread bandwidth, measured: {:.2} GB/s",
            self.bandwidth / 1e9
        );
        text
    }

    fn csv(&self) -> String {
        let mut text = format!("{CSV}\n");
        for row in &self.rows {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let names = [
                &self.model,
                self.format(),
                &self.adapter.info.name,
                &row.test.name(),
            ]
            .map(quoted);
            let numbers = self.numbers(row);
            let numbers = numbers.iter().map(|(_, value)| {
                if value.is_null() {
                    String::new()
                } else {
                    value.to_string()
                }
            });
            let fields: Vec<String> = names.into_iter().chain(numbers).collect();
            _ = writeln!(text, "{}", fields.join(","));
        }
        text
    }

    fn numbers(&self, row: &Row) -> Vec<(&'static str, Value)> {
        let rate = row.bytes_per_second();
        vec![
            ("tokens", json!(row.test.tokens)),
            ("depth", json!(row.test.depth)),
            ("tokens_per_second", json!(row.mean())),
            ("deviation", json!(row.deviation())),
            ("best", json!(row.best())),
            ("bytes_per_token", json!(row.token_bytes)),
            ("bytes_per_second", json!(rate)),
            (
                "bandwidth_share",
                json!(rate.map(|rate| rate / self.bandwidth)),
            ),
            ("launches_per_step", json!(row.launches)),
            (
                "launches_per_layer",
                json!(row.launches as f64 / self.layers as f64),
            ),
            ("submits_per_step", json!(row.submits)),
            ("host_us_per_launch", json!(1e6 * row.host_per_launch)),
        ]
    }

    fn json(&self) -> Value {
        let AdapterReport { info, .. } = &self.adapter;
        let test = |row: &Row| {
            let mut object = json!({ "test": row.test.name(), "samples": row.speeds });
            for (name, value) in self.numbers(row) {
                object[name] = value;
            }
            object
        };
        json!({
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
                "int64": self.tiers.int64,
            },
            "read_bandwidth": self.bandwidth,
            "left_out": self.left_out,
            "tests": self.rows.iter().map(test).collect::<Vec<_>>(),
        })
    }
}

//! What a run gave, as tables.

use std::fmt::Write;

use tiefsee::gpu::Clock;

use super::compare::Comparison;
use super::cost::DEEPSEEK_R1;
use super::measure::Row;
use super::report::{Format, Report};
use super::samples::{deviation, median};

const CSV: &str = "model,format,device,test,tokens,depth,tokens_per_second,median,deviation,best,bytes_per_token,\
                   read_bytes_per_token,bytes_per_second,bandwidth_share,step_tokens,launches_per_step,\
                   launches_per_layer,submits_per_step,host_us_per_step,host_us_per_launch,launches_us_per_step,\
                   cost_per_million_tokens";

impl Report {
    /// The run, and how it compares with an earlier one, if it does.
    pub(super) fn text(&self, format: Format, comparison: Option<&Comparison>) -> String {
        match format {
            Format::Md => {
                let mut text = self.tests();
                self.say_rest(&mut text);
                for row in &self.rows {
                    self.say_ops(&mut text, row);
                }
                if let Some(comparison) = comparison {
                    text += &comparison.markdown();
                }
                text
            }
            Format::Csv => self.csv(),
            Format::Json => format!("{:#}\n", self.json(comparison)),
        }
    }

    fn tests(&self) -> String {
        let mut text = String::from(
            "| model | size | format | device | test | t/s | median | best | GB/s | of bandwidth | launches | \
             submits | host us | us/launch |\n\
             |---|---:|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let rate = row.bytes_per_second();
            let rates = rate.map_or(["-".into(), "-".into()], |rate| {
                [
                    format!("{:.2}", rate / 1e9),
                    format!("{:.0} %", 100.0 * rate / self.roof.bandwidth),
                ]
            });
            _ = writeln!(
                text,
                "| {} | {:.2} MiB | {} | {} | {} | {:.2} ± {:.2} | {:.2} | {:.2} | {} | {} | {} | {} | {:.0} | {:.1} |",
                self.model,
                self.stored_bytes as f64 / f64::from(1 << 20),
                self.format(),
                self.adapter.info.name,
                row.test.name(),
                row.mean(),
                deviation(&row.speeds),
                median(&row.speeds),
                row.best(),
                rates[0],
                rates[1],
                row.launches,
                row.submits,
                1e6 * row.host,
                1e6 * row.host_per_launch(),
            );
        }
        text
    }

    /// What is no test: the device, the start, and the cost.
    fn say_rest(&self, text: &mut String) {
        let start = &self.start;
        _ = writeln!(
            text,
            "\ncopy bandwidth, measured: {:.2} GB/s; f32 peak, measured: {:.1} GFLOP/s\n\
             first token of {} after {:.2} s: device {:.2} s, weights {:.2} s, prompt {:.3} s, of which kernels \
             {:.3} s; warm: {:.3} s",
            self.roof.bandwidth / 1e9,
            self.roof.peak / 1e9,
            start.prompt_tokens,
            start.first_token,
            start.device,
            start.load,
            start.cold_prompt,
            start.compile(),
            start.warm_prompt,
        );
        for row in &self.rows {
            if let Some(cost) = self.cost(row) {
                _ = writeln!(
                    text,
                    "a million tokens of {}: {cost:.2} in electricity; DeepSeek asks ${DEEPSEEK_R1} for R1's",
                    row.test.name()
                );
            }
        }
    }

    fn say_ops(&self, text: &mut String, row: &Row) {
        let clock = match row.clock {
            Clock::Device => "timestamps of the device",
            Clock::Host => "the host's clock around submits of their own",
        };
        let step = match row.step_tokens {
            1 => "a token".to_owned(),
            tokens => format!("{tokens} tokens"),
        };
        _ = writeln!(
            text,
            "\n{}, launches of {step}: {:.0} us by {clock}\n\n\
             | kernel | launches | us | each | of step | MB | moved | GB/s | of bandwidth | GFLOP/s | of peak |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            row.test.name(),
            1e6 * row.device(),
        );
        for op in &row.ops {
            let traffic = &op.traffic;
            let [bandwidth, peak] = op.shares(&self.roof);
            _ = writeln!(
                text,
                "| {} | {} | {:.1} | {:.1} | {:.1} % | {:.3} | {:.2} x | {:.2} | {:.0} % | {:.2} | {:.1} % |",
                op.name(),
                op.launches,
                1e6 * op.took(),
                1e6 * op.took() / op.launches as f64,
                100.0 * op.took() / row.device(),
                traffic.least as f64 / 1e6,
                (traffic.read + traffic.written) as f64 / traffic.least.max(1) as f64,
                op.bandwidth() / 1e9,
                100.0 * bandwidth,
                op.speed() / 1e9,
                100.0 * peak,
            );
        }
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
}

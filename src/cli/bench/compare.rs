//! A run beside an earlier one, whose JSON is in a file.

use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tiefsee::{Error, Result};

use super::report::{KIND, Report, clock_name};
use super::samples::{median, noise_of_ratio};

/// What is read of an earlier run.
#[derive(Deserialize)]
pub(super) struct Earlier {
    kind: String,
    model: String,
    format: String,
    cache_type: String,
    device: Device,
    tests: Vec<Test>,
    #[serde(skip)]
    file: String,
}

#[derive(Deserialize)]
struct Device {
    name: String,
    driver: String,
}

#[derive(Deserialize)]
struct Test {
    test: String,
    clock: String,
    samples: Vec<f64>,
    ops: Vec<Op>,
}

#[derive(Deserialize)]
struct Op {
    kernel: String,
    format: Option<String>,
    samples_us: Vec<f64>,
}

impl Earlier {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Io`] if it cannot be read, [`Error::Damaged`] if it is no result of a run.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let damaged = |what: String| Error::Damaged {
            file: file.clone(),
            what: format!("no result of `tiefsee bench --json`: {what}"),
        };
        let mut earlier: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if earlier.kind != KIND {
            return Err(damaged(format!("its kind is {:?}", earlier.kind)));
        }
        let bad = |samples: &Vec<f64>, least: f64| {
            samples.is_empty() || samples.iter().any(|&sample| sample < least)
        };
        for test in &earlier.tests {
            let op = test.ops.iter().find(|op| bad(&op.samples_us, 0.0));
            if bad(&test.samples, f64::MIN_POSITIVE) || op.is_some() {
                let name = op.map_or("", |op| &op.kernel);
                return Err(damaged(format!("the samples of {} {name}", test.test)));
            }
        }
        earlier.file = file;
        Ok(earlier)
    }
}

/// What became of a speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Faster,
    Slower,
    /// As far as the noise lets one tell.
    Same,
    /// A single sample has no noise to judge by.
    Unknown,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }

    fn of(ratio: f64, noise: Option<f64>) -> Self {
        match noise {
            None => Self::Unknown,
            Some(noise) if ratio > 1.0 + noise => Self::Faster,
            Some(noise) if ratio * (1.0 + noise) < 1.0 => Self::Slower,
            Some(_) => Self::Same,
        }
    }
}

/// A test, or an op of it, then and now.
struct Line {
    test: String,
    op: Option<String>,
    /// Medians: tokens a second of a test, microseconds a step of an op.
    medians: [f64; 2],
    /// How many times as fast it is now.
    ratio: f64,
    noise: Option<f64>,
    verdict: Verdict,
}

impl Line {
    fn new(test: &str, op: Option<String>, before: &[f64], now: &[f64]) -> Self {
        let medians = [median(before), median(now)];
        let ratio = medians[1] / medians[0];
        // Of an op it is times that are compared.
        let ratio = if op.is_some() { 1.0 / ratio } else { ratio };
        // A clock that did not move says nothing.
        let noise = noise_of_ratio(before, now).filter(|noise| noise.is_finite());
        Self {
            test: test.to_owned(),
            op,
            medians,
            ratio,
            noise,
            verdict: Verdict::of(ratio, noise),
        }
    }

    fn json(&self) -> Value {
        json!({
            "test": self.test,
            "op": self.op,
            "before": self.medians[0],
            "now": self.medians[1],
            "ratio": self.ratio,
            "noise": self.noise,
            "verdict": self.verdict.name(),
        })
    }
}

/// A run beside an earlier one.
pub(super) struct Comparison {
    file: String,
    /// In what the runs differ besides speed.
    differences: Vec<String>,
    lines: Vec<Line>,
}

impl Comparison {
    /// Compares what both have; tests and ops that only one has are differences.
    pub(super) fn new(earlier: &Earlier, report: &Report) -> Self {
        let driver = format!(
            "{} {}",
            report.adapter.info.driver, report.adapter.info.driver_info
        );
        let mut differences = Vec::new();
        for (what, before, now) in [
            ("model", &*earlier.model, &*report.model),
            ("format", &earlier.format, report.format()),
            ("cache type", &earlier.cache_type, report.cache_type),
            ("device", &earlier.device.name, &report.adapter.info.name),
            ("driver", &earlier.device.driver, &driver),
        ] {
            if before != now {
                differences.push(format!("{what}: {before} before, {now} now"));
            }
        }
        let mut lines = Vec::new();
        for test in &earlier.tests {
            let same = |row: &&super::measure::Row| row.test.name() == test.test;
            match report.rows.iter().find(same) {
                Some(row) => compare_test(test, row, &mut lines, &mut differences),
                None => differences.push(format!("{}: before only", test.test)),
            }
        }
        for row in &report.rows {
            let name = row.test.name();
            if earlier.tests.iter().all(|test| test.test != name) {
                differences.push(format!("{name}: now only"));
            }
        }
        Self {
            file: earlier.file.clone(),
            differences,
            lines,
        }
    }

    /// In what the runs differ besides speed.
    pub(super) fn differences(&self) -> &[String] {
        &self.differences
    }

    pub(super) fn json(&self) -> Value {
        let lines = |of_ops: bool| {
            let lines = self.lines.iter().filter(|line| line.op.is_some() == of_ops);
            lines.map(Line::json).collect::<Vec<_>>()
        };
        json!({
            "file": self.file,
            "differences": self.differences,
            "tests": lines(false),
            "ops": lines(true),
        })
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "\nbeside {} (t/s of tests, us a step of kernels; noise is that of each run's own samples, 95 %)\n\n",
            self.file
        );
        for difference in &self.differences {
            _ = writeln!(text, "- {difference}");
        }
        if !self.differences.is_empty() {
            text.push('\n');
        }
        text += "| test | kernel | before | now | times as fast | noise | |\n|---|---|---:|---:|---:|---:|---|\n";
        for line in &self.lines {
            let noise = line
                .noise
                .map_or("-".into(), |noise| format!("± {:.1} %", 100.0 * noise));
            _ = writeln!(
                text,
                "| {} | {} | {:.2} | {:.2} | {:.3} | {noise} | {} |",
                line.test,
                line.op.as_deref().unwrap_or("all"),
                line.medians[0],
                line.medians[1],
                line.ratio,
                line.verdict.name()
            );
        }
        text
    }
}

fn compare_test(
    test: &Test,
    row: &super::measure::Row,
    lines: &mut Vec<Line>,
    differences: &mut Vec<String>,
) {
    lines.push(Line::new(&test.test, None, &test.samples, &row.speeds));
    let clock = clock_name(row.clock);
    if test.clock != clock {
        let before = &test.clock;
        differences.push(format!(
            "clock of {}: the {before}'s before, the {clock}'s now",
            test.test
        ));
    }
    for op in &row.ops {
        let before = test
            .ops
            .iter()
            .find(|before| before.kernel == op.kernel && before.format.as_deref() == op.format);
        let Some(before) = before else {
            differences.push(format!("{} of {}: now only", op.name(), test.test));
            continue;
        };
        let now: Vec<f64> = op.seconds.iter().map(|seconds| 1e6 * seconds).collect();
        lines.push(Line::new(
            &test.test,
            Some(op.name()),
            &before.samples_us,
            &now,
        ));
    }
    for before in &test.ops {
        let known = |op: &&super::by_op::Op| {
            before.kernel == op.kernel && before.format.as_deref() == op.format
        };
        if row.ops.iter().find(known).is_none() {
            let format = before.format.as_deref().unwrap_or_default();
            let name = format!("{} {format}", before.kernel);
            differences.push(format!("{} of {}: before only", name.trim(), test.test));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_respect_the_noise() {
        assert_eq!(Verdict::of(1.2, Some(0.1)), Verdict::Faster);
        assert_eq!(Verdict::of(1.05, Some(0.1)), Verdict::Same);
        assert_eq!(Verdict::of(0.92, Some(0.1)), Verdict::Same);
        assert_eq!(Verdict::of(0.8, Some(0.1)), Verdict::Slower);
        assert_eq!(Verdict::of(2.0, None), Verdict::Unknown);
    }

    #[test]
    fn ops_are_compared_by_time_and_tests_by_speed() {
        let (before, now) = ([10.0, 11.0, 10.0], [20.0, 21.0, 20.0]);
        let test = Line::new("tg1", None, &before, &now);
        let op = Line::new("tg1", Some("matmul".into()), &before, &now);
        assert_eq!(
            [test.verdict, op.verdict],
            [Verdict::Faster, Verdict::Slower]
        );
        assert!((test.ratio - 2.0).abs() < 1e-12 && (op.ratio - 0.5).abs() < 1e-12);
    }
}

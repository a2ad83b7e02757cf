//! Each kernel alone, at sizes of DeepSeek-V2-Lite.

use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::selftest::{self, Proven, Timing};

use super::report::Format;
use crate::cli::common::DeviceArguments;
use crate::cli::output;

/// Checks and times every kernel; whether all of them are right.
///
/// # Errors
/// Whatever the device reports.
pub(super) async fn run(device: &DeviceArguments, format: Format) -> Result<bool> {
    let Proven { gpu, disabled } = selftest::prove_tiers(&device.options()).await?;
    device.warn(gpu.adapter(), &disabled);
    output::note(&format!(
        "{}: kernels at sizes of DeepSeek-V2-Lite",
        gpu.adapter().info.name
    ));
    let bandwidth = selftest::read_bandwidth(&gpu).await?;
    let mut timings = Vec::new();
    let mut shown = output::write(&head(format));
    // Some kernels take seconds on slow devices, so each is shown at once.
    let mut tell = |timing: Timing| {
        let line = match format {
            Format::Md => markdown(&timing, bandwidth),
            Format::Csv => csv(&timing),
            Format::Json => String::new(),
        };
        if shown.is_ok() {
            shown = output::write(&line);
        }
        timings.push(timing);
    };
    selftest::measure(&gpu, &mut tell).await?;
    shown?;
    if format == Format::Json {
        let report = json!({
            "device": gpu.adapter().info.name,
            "read_bandwidth": bandwidth,
            "ops": timings.iter().map(object).collect::<Vec<_>>(),
        });
        output::write_line(&format!("{report:#}"))?;
    }
    Ok(timings.iter().all(|timing| timing.check.passed))
}

fn head(format: Format) -> String {
    let head = match format {
        Format::Md => {
            "| kernel | format | us | GB/s | of bandwidth | GFLOP/s | error | |\n|---|---|---:|---:|---:|---:|---:|---|\n"
        }
        Format::Csv => "kernel,format,us,bytes_per_second,operations_per_second,error,passed\n",
        Format::Json => "",
    };
    head.to_owned()
}

fn per_second(count: u64, timing: &Timing) -> f64 {
    count as f64 / timing.took.as_secs_f64().max(1e-9)
}

fn micros(timing: &Timing) -> f64 {
    1e6 * timing.took.as_secs_f64()
}

fn markdown(timing: &Timing, bandwidth: f64) -> String {
    let check = &timing.check;
    let rate = per_second(timing.bytes, timing);
    format!(
        "| {} | {} | {:.1} | {:.2} | {:.0} % | {:.2} | {:.1e} | {} |\n",
        check.kernel,
        check.format.unwrap_or("-"),
        micros(timing),
        rate / 1e9,
        100.0 * rate / bandwidth,
        per_second(timing.operations, timing) / 1e9,
        check.error,
        if check.passed { "ok" } else { "WRONG" },
    )
}

fn csv(timing: &Timing) -> String {
    let check = &timing.check;
    format!(
        "{},{},{:.3},{:.0},{:.0},{:e},{}\n",
        check.kernel,
        check.format.unwrap_or_default(),
        micros(timing),
        per_second(timing.bytes, timing),
        per_second(timing.operations, timing),
        check.error,
        check.passed
    )
}

fn object(timing: &Timing) -> Value {
    let check = &timing.check;
    json!({
        "kernel": check.kernel,
        "format": check.format,
        "us": micros(timing),
        "bytes_per_second": per_second(timing.bytes, timing),
        "operations_per_second": per_second(timing.operations, timing),
        "error": check.error,
        "passed": check.passed,
    })
}

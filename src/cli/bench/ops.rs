//! Each kernel alone, at sizes of DeepSeek-V2-Lite.

use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::selftest::{self, Proven, Roof, Timing};

use super::report::{Format, clock_name};
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
    let roof = Roof::measure(&gpu).await?;
    let mut timings = Vec::new();
    let mut shown = output::write(&head(format));
    // Some kernels take seconds on slow devices, so each is shown at once.
    let mut tell = |timing: Timing| {
        let line = match format {
            Format::Md => markdown(&timing, &roof),
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
            "copy_bandwidth": roof.bandwidth,
            "peak": roof.peak,
            "clock": clock_name(gpu.clock),
            "ops": timings.iter().map(object).collect::<Vec<_>>(),
        });
        output::write_line(&format!("{report:#}"))?;
    }
    Ok(timings.iter().all(|timing| timing.check.passed))
}

fn head(format: Format) -> String {
    let head = match format {
        Format::Md => {
            "| kernel | format | us | GB/s | of bandwidth | GFLOP/s | of peak | error | |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n"
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

fn markdown(timing: &Timing, roof: &Roof) -> String {
    let check = &timing.check;
    let rate = per_second(timing.bytes, timing);
    let speed = per_second(timing.operations, timing);
    format!(
        "| {} | {} | {:.1} | {:.2} | {:.0} % | {:.2} | {:.1} % | {:.1e} | {} |\n",
        check.kernel,
        check.format.unwrap_or("-"),
        micros(timing),
        rate / 1e9,
        100.0 * rate / roof.bandwidth,
        speed / 1e9,
        100.0 * speed / roof.peak,
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

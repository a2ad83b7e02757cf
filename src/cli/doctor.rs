//! `tiefsee doctor`: what adapters there are, and whether every kernel is right on them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use tiefsee::gpu::{AdapterReport, DeviceOptions, Gpu, MatrixUnit};
use tiefsee::selftest::{self, Check, Proven};
use tiefsee::{Error, Result};

use super::chat::history_file;
use super::common::DeviceArguments;
use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee doctor                  every adapter, and every kernel checked on each
  tiefsee doctor --device 0       the kernels on one adapter
  tiefsee doctor --json           the same for programs

Exit status: 0 all is well, 1 a kernel gives wrong results, 5 no usable adapter";

/// List the adapters and check every kernel on them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

/// An adapter with what became of its self-test.
struct Patient {
    adapter: AdapterReport,
    /// `None` if it was not tested.
    outcome: Option<Result<Outcome>>,
}

struct Outcome {
    disabled: Vec<String>,
    checks: Vec<Check>,
}

impl Patient {
    /// Whether it was tested and passed; `None` if it was not tested.
    fn passed(&self) -> Option<bool> {
        let outcome = self.outcome.as_ref()?;
        Some(
            outcome
                .as_ref()
                .is_ok_and(|outcome| outcome.checks.iter().all(|check| check.passed)),
        )
    }
}

/// Lists, tests and prints.
///
/// # Errors
/// [`Error::NoAdapter`] if `--device` names none.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let patients = pollster::block_on(examine(&arguments.device.options()))?;
    let advice = advice(&patients);
    let verdicts: Vec<bool> = patients.iter().filter_map(Patient::passed).collect();
    let status = match verdicts[..] {
        [] => Error::NoAdapter(String::new()).exit_code(),
        _ => u8::from(verdicts.contains(&false)),
    };
    let text = if arguments.json {
        let report = json!({
            "adapters": patients.iter().map(adapter_json).collect::<Vec<_>>(),
            "folders": { "history": history_file(), "cache": arguments.device.cache_folder() },
            "advice": advice,
            "passed": status == 0,
        });
        format!("{report:#}\n")
    } else {
        report(&patients, arguments.device.cache_folder(), &advice)
    };
    output::write(&text)?;
    Ok(ExitCode::from(status))
}

async fn examine(options: &DeviceOptions) -> Result<Vec<Patient>> {
    let chosen = match &options.device {
        None => None,
        Some(_) => Some(Gpu::open(options).await?.adapter().number),
    };
    let mut patients = Vec::new();
    for adapter in Gpu::adapters().await {
        let wanted = chosen.is_none_or(|number| number == adapter.number);
        let outcome = if wanted && adapter.refused.is_none() {
            let device = Some(adapter.number.to_string());
            let options = DeviceOptions {
                device,
                ..options.clone()
            };
            Some(test(&options).await)
        } else {
            None
        };
        patients.push(Patient { adapter, outcome });
    }
    Ok(patients)
}

async fn test(options: &DeviceOptions) -> Result<Outcome> {
    // What an earlier run saw is not to be believed here.
    let options = DeviceOptions {
        store: None,
        ..options.clone()
    };
    let Proven { gpu, disabled } = selftest::prove_tiers(&options).await?;
    let checks = selftest::run(&gpu, &mut |_| ()).await?;
    Ok(Outcome { disabled, checks })
}

/// What is wrong, and how to mend it.
fn advice(patients: &[Patient]) -> Vec<String> {
    let mut advice = Vec::new();
    let driver = "install the Vulkan driver of your card (Debian and Ubuntu: mesa-vulkan-drivers for AMD and Intel, \
                  nvidia-driver for NVIDIA; Fedora: mesa-vulkan-drivers; Arch: vulkan-radeon, vulkan-intel or \
                  nvidia-utils)";
    let usable: Vec<_> = patients
        .iter()
        .filter(|patient| patient.adapter.refused.is_none())
        .collect();
    if usable.is_empty() {
        advice.push(format!(
            "There is no usable adapter: {driver}. Without a card, Mesa's software driver does."
        ));
    } else if usable.iter().all(|patient| patient.adapter.is_software()) {
        advice.push(format!(
            "There are only software adapters, which are slow. If the machine has a GPU, {driver}."
        ));
    }
    for Patient { adapter, outcome } in patients {
        let name = &adapter.info.name;
        match outcome {
            Some(Err(error)) => advice.push(format!(
                "{name} cannot be used: {error}. A newer driver may help."
            )),
            Some(Ok(outcome)) => {
                advice.extend(
                    outcome
                        .disabled
                        .iter()
                        .map(|what| format!("{what}. A newer driver may help.")),
                );
                if outcome.checks.iter().any(|check| !check.passed) {
                    advice.push(format!(
                        "{name} computes wrong results: use another adapter (--device) or a newer driver, try \
                         --no-matrix, --no-subgroups and --no-f16, and report it."
                    ));
                }
            }
            None => {}
        }
    }
    advice
}

fn report(patients: &[Patient], cache: Option<PathBuf>, advice: &[String]) -> String {
    let mut text = String::new();
    for patient in patients {
        text += &describe(&patient.adapter);
        if let Some(Ok(outcome)) = &patient.outcome {
            text += &table(&outcome.checks);
        }
        text.push('\n');
    }
    for (what, path) in [("history", history_file()), ("cache", cache)] {
        if let Some(path) = path {
            _ = writeln!(text, "{what}: {}", path.display());
        }
    }
    for sentence in advice {
        _ = writeln!(text, "\n{sentence}");
    }
    if patients
        .iter()
        .filter_map(Patient::passed)
        .all(|passed| passed)
        && !patients.is_empty()
    {
        text += "\nEvery kernel that was checked is right.\n";
    }
    text
}

fn describe(adapter: &AdapterReport) -> String {
    let AdapterReport {
        number,
        info,
        limits,
        tiers,
        refused,
        ..
    } = adapter;
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let subgroups = match tiers.subgroup_size {
        0 => "no subgroups".to_owned(),
        size if size == tiers.widest_subgroup => format!("subgroups of {size}"),
        size => format!("subgroups of {size} to {}", tiers.widest_subgroup),
    };
    let matrix = tiers.matrix.map_or("no matrix units".to_owned(), |unit| {
        format!("matrix units of {}", unit.name())
    });
    let has = |what: &str, there: bool| {
        if there {
            what.to_owned()
        } else {
            format!("no {what}")
        }
    };
    let mut text = format!(
        "{number}: {}\n   {}, {}, driver {} {}\n   bindings of {}, buffers of {}, {} KiB of workgroup memory, \
         {} lanes in a workgroup\n   {subgroups}, {}, {matrix}\n",
        info.name,
        adapter.kind(),
        info.backend,
        info.driver,
        info.driver_info,
        mib(limits.max_storage_buffer_binding_size),
        mib(limits.max_buffer_size),
        limits.max_compute_workgroup_storage_size >> 10,
        limits.max_compute_invocations_per_workgroup,
        has("f16", tiers.f16),
    );
    if let Some(why) = refused {
        _ = writeln!(text, "   refused: {why}");
    }
    text
}

/// One line a kernel, and one more for each failure.
fn table(checks: &[Check]) -> String {
    let mut kernels: Vec<&str> = checks.iter().map(|check| check.kernel).collect();
    kernels.dedup();
    let mut seen = Vec::new();
    let mut text = format!(
        "\n   {:<26} {:>7} {:>11} {:>9}\n",
        "kernel", "formats", "worst error", "allowed"
    );
    for kernel in kernels {
        if seen.contains(&kernel) {
            continue;
        }
        seen.push(kernel);
        let own: Vec<&Check> = checks
            .iter()
            .filter(|check| check.kernel == kernel)
            .collect();
        let formats: BTreeSet<_> = own.iter().filter_map(|check| check.format).collect();
        let formats = formats.len();
        let worst = own.iter().map(|check| check.error).fold(0.0, f64::max);
        let verdict = if own.iter().all(|check| check.passed) {
            "ok"
        } else {
            "WRONG"
        };
        let formats = Some(formats).filter(|&formats| formats > 0);
        let formats = formats.map_or_else(String::new, |formats| formats.to_string());
        let allowed = own[0].tolerance;
        _ = writeln!(
            text,
            "   {kernel:<26} {formats:>7} {worst:>11.1e} {allowed:>9.0e} {verdict}"
        );
        for check in own.into_iter().filter(|check| !check.passed) {
            let format = check.format.unwrap_or("no weight");
            let fault = check.fault.as_deref().unwrap_or("wrong result");
            _ = writeln!(text, "      {format}: error {:.1e}, {fault}", check.error);
        }
    }
    text
}

fn adapter_json(patient: &Patient) -> Value {
    let Patient { adapter, outcome } = patient;
    let AdapterReport {
        number,
        info,
        limits,
        tiers,
        refused,
    } = adapter;
    let mut object = json!({
        "number": number,
        "name": info.name,
        "kind": adapter.kind(),
        "backend": info.backend.to_string(),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "limits": {
            "storage_binding_bytes": limits.max_storage_buffer_binding_size,
            "buffer_bytes": limits.max_buffer_size,
            "storage_buffers": limits.max_storage_buffers_per_shader_stage,
            "workgroup_memory_bytes": limits.max_compute_workgroup_storage_size,
            "workgroup_lanes": limits.max_compute_invocations_per_workgroup,
            "workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
        },
        "subgroup_size": tiers.subgroup_size,
        "widest_subgroup": tiers.widest_subgroup,
        "f16": tiers.f16,
        "matrix": tiers.matrix.map(MatrixUnit::name),
        "int64": tiers.int64,
        "refused": refused,
        "passed": patient.passed(),
    });
    match outcome {
        Some(Ok(Outcome { disabled, checks })) => {
            object["disabled"] = json!(disabled);
            object["checks"] = checks.iter().map(check_json).collect();
        }
        Some(Err(error)) => object["error"] = json!(error.to_string()),
        None => {}
    }
    object
}

/// An infinite error becomes null, as JSON has no such number.
fn check_json(check: &Check) -> Value {
    let Check {
        kernel,
        format,
        error,
        tolerance,
        passed,
        fault,
    } = check;
    json!({
        "kernel": kernel,
        "format": format,
        "error": error,
        "tolerance": tolerance,
        "passed": passed,
        "fault": fault,
    })
}

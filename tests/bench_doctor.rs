//! `tiefsee bench` and `tiefsee doctor` as programs: what they print, and how they exit.

mod common;

use std::process::{Command, Output};

use serde_json::Value;
use tiefsee::formats;

fn tiefsee(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiefsee"));
    let options = common::options();
    if let Some(device) = &options.device {
        command.env("TIEFSEE_DEVICE", device);
    }
    for (name, without) in [
        ("TIEFSEE_NO_SUBGROUPS", options.no_subgroups),
        ("TIEFSEE_NO_F16", options.no_f16),
        ("TIEFSEE_NO_INT64", options.no_int64),
    ] {
        command.env(name, if without { "1" } else { "0" });
    }
    command.args(arguments).output().expect("the program")
}

fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("one JSON object")
}

#[test]
fn doctor_tests_every_kernel_in_every_format() {
    let report = json(&tiefsee(&["doctor", "--json"]));
    assert_eq!(report["passed"], true, "{report:#}");
    let adapters = report["adapters"].as_array().expect("adapters");
    let tested: Vec<_> = adapters
        .iter()
        .filter(|adapter| adapter["checks"].is_array())
        .collect();
    assert!(!tested.is_empty(), "{report:#}");
    for adapter in tested {
        assert_eq!(adapter["disabled"], serde_json::json!([]));
        let checks = adapter["checks"].as_array().expect("checks");
        assert!(
            checks.iter().all(|check| check["passed"] == true),
            "{checks:#?}"
        );
        let kernels_with = |format: &str| -> Vec<_> {
            let of_format = checks.iter().filter(|check| check["format"] == format);
            of_format.map(|check| check["kernel"].clone()).collect()
        };
        // Some names are those of cache types, too; this one is not.
        let weighted = kernels_with("q4_0");
        assert_eq!(weighted.len(), 7);
        for &format in formats::ALL {
            let kernels = kernels_with(format.name);
            let all = weighted.iter().all(|kernel| kernels.contains(kernel));
            assert!(all, "{}: {kernels:?}", format.name);
        }
        assert!(
            adapter["limits"]["storage_binding_bytes"]
                .as_u64()
                .expect("a limit")
                >= 128 << 20
        );
    }
    assert!(report["folders"].is_object());
}

#[test]
fn doctor_prints_a_table() {
    let report = text(&tiefsee(&["doctor"]));
    let matmul = report
        .lines()
        .find(|line| line.trim_start().starts_with("matmul "));
    let matmul = matmul.expect("a line");
    let columns: Vec<&str> = matmul.split_whitespace().collect();
    let formats = formats::ALL.len().to_string();
    assert_eq!(
        (columns[1], columns[4]),
        (formats.as_str(), "ok"),
        "{matmul}"
    );
    assert!(report.contains("0: ") && report.contains("MiB"), "{report}");
}

#[test]
fn a_device_that_is_not_there_is_no_adapter() {
    for command in ["doctor", "bench"] {
        let output = tiefsee(&[command, "--device", "no such device"]);
        assert_eq!(output.status.code(), Some(5), "{command}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("no such device") && errors.contains("0: "),
            "{errors}"
        );
    }
}

#[test]
fn bench_measures_prompts_and_answers() {
    let report = json(&tiefsee(&[
        "bench",
        "demo",
        "-p",
        "16",
        "-n",
        "4",
        "-d",
        "0,33,4000000",
        "-r",
        "2",
        "-o",
        "json",
    ]));
    let tests = report["tests"].as_array().expect("tests");
    let names: Vec<_> = tests
        .iter()
        .map(|test| test["test"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["pp16", "tg4", "pp16 @ d33", "tg4 @ d33"]);
    assert_eq!(
        report["left_out"],
        serde_json::json!(["pp16 @ d4000000", "tg4 @ d4000000"])
    );
    let positive = |value: &Value| value.as_f64().is_some_and(|value| value > 0.0);
    for test in tests {
        let samples: Vec<f64> = serde_json::from_value(test["samples"].clone()).expect("samples");
        assert_eq!(samples.len(), 2);
        let mean = f64::midpoint(samples[0], samples[1]);
        assert!((test["tokens_per_second"].as_f64().expect("a rate") / mean - 1.0).abs() < 1e-9);
        assert!(test["best"].as_f64() >= test["tokens_per_second"].as_f64());
        for name in [
            "launches_per_step",
            "launches_per_layer",
            "submits_per_step",
            "host_us_per_launch",
        ] {
            assert!(positive(&test[name]), "{name} of {test:#}");
        }
        assert_eq!(
            test["bytes_per_token"].is_null(),
            test["test"].as_str().expect("a name").starts_with("pp")
        );
    }
    let bytes = |index: usize| tests[index]["bytes_per_token"].as_u64().expect("a count");
    let weights = report["weight_bytes_per_token"].as_u64().expect("a count");
    // Weights are read whole at any depth, the cache as far as it is filled; not all of the file is read.
    assert!(weights < bytes(1) && bytes(1) < bytes(3));
    assert!(weights < report["stored_bytes"].as_u64().expect("a count"));
    assert!(positive(&report["read_bandwidth"]) && positive(&tests[1]["bandwidth_share"]));
}

#[test]
fn bench_needs_only_a_config_for_random_weights() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/random_weights");
    std::fs::create_dir_all(folder).expect("a folder");
    for family in ["dsv3", "dsv2lite"] {
        let config = format!(
            "{}/tests/golden/{family}/config.json",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::copy(config, format!("{folder}/config.json")).expect("a copy");
        let arguments = [
            "bench",
            folder,
            "--random-weights",
            "-p",
            "0",
            "-n",
            "2,300000",
            "-r",
            "1",
        ];
        let table = text(&tiefsee(&[&arguments[..], &["-o", "csv"]].concat()));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 2, "{table}");
        let fields = |line: &str| line.matches(',').count();
        // The adapter's name has commas of its own.
        let row = lines[1].rsplit_once('"').expect("quoted names").1;
        assert_eq!(fields(lines[0]), 3 + fields(row), "{table}");
    }
    let without = tiefsee(&["bench", folder, "-p", "0", "-n", "2"]);
    assert_eq!(without.status.code(), Some(3));
}

#[test]
fn bench_goes_beyond_the_models_context_if_told() {
    let shape = [
        "bench", "demo", "-p", "0", "-n", "1", "-d", "2100", "-r", "1",
    ];
    let refused = tiefsee(&shape);
    assert_eq!(refused.status.code(), Some(2));
    let table = text(&tiefsee(&[&shape[..], &["--ctx", "2200"]].concat()));
    assert!(table.contains("tg1 @ d2100"), "{table}");
}

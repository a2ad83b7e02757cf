//! What is measured and how it is written.

use serde_json::Value;

use crate::common;
use crate::program::{failure, json, text, tiefsee};

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn is_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0)
}

#[test]
fn prompts_and_answers_are_measured() {
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
    for test in tests {
        check_test(test);
        check_ops(test);
    }
    let bytes = |index: usize| tests[index]["bytes_per_token"].as_u64().expect("a count");
    let weights = report["weight_bytes_per_token"].as_u64().expect("a count");
    // Weights are read whole at any depth, the cache as far as it is filled; not all of the file is read.
    assert!(weights < bytes(1) && bytes(1) < bytes(3));
    assert!(weights < report["stored_bytes"].as_u64().expect("a count"));
    assert_eq!(report["kind"], "tiefsee bench");
    for name in ["copy_bandwidth", "peak"] {
        assert!(is_positive(&report[name]), "{name}");
    }
    assert!(is_positive(&tests[1]["bandwidth_share"]));
    assert!(report["price"].is_null() && report["comparison"].is_null());
    check_start(&report["start"]);
}

fn check_test(test: &Value) {
    let samples: Vec<f64> = serde_json::from_value(test["samples"].clone()).expect("samples");
    assert_eq!(samples.len(), 2);
    let mean = f64::midpoint(samples[0], samples[1]);
    assert!((number(&test["tokens_per_second"]) / mean - 1.0).abs() < 1e-9);
    assert!(number(&test["best"]) >= number(&test["tokens_per_second"]));
    let least = samples[0].min(samples[1]);
    assert!((number(&test["median"]) / least - 1.0).abs() < 1e-9);
    assert!(test["deviation"].is_number());
    for name in [
        "launches_per_step",
        "launches_per_layer",
        "submits_per_step",
        "host_us_per_step",
        "host_us_per_launch",
        "launches_us_per_step",
    ] {
        assert!(is_positive(&test[name]), "{name} of {test:#}");
    }
    let reads = test["test"].as_str().expect("a name").starts_with("pp");
    for name in ["bytes_per_token", "read_bytes_per_token", "bandwidth_share"] {
        assert_eq!(test[name].is_null(), reads, "{name}");
    }
    assert_eq!(test["step_tokens"], if reads { 16 } else { 1 });
    let own = match common::open().clock {
        tiefsee::gpu::Clock::Device => "device",
        tiefsee::gpu::Clock::Host => "host",
    };
    assert_eq!(test["clock"], own);
}

fn check_ops(test: &Value) {
    let ops = test["ops"].as_array().expect("ops");
    let sum = |name: &str| ops.iter().map(|op| number(&op[name])).sum::<f64>();
    assert!((sum("launches") - number(&test["launches_per_step"])).abs() < 1e-9);
    assert!((sum("us") / number(&test["launches_us_per_step"]) - 1.0).abs() < 1e-9);
    assert!((sum("share_of_step") - 1.0).abs() < 1e-9);
    if let Some(read) = test["read_bytes_per_token"].as_f64() {
        assert!((sum("read_bytes") - read).abs() < 1e-9);
    }
    let times: Vec<f64> = ops.iter().map(|op| number(&op["us"])).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    for op in ops {
        assert_eq!(op["samples_us"].as_array().expect("samples").len(), 2);
        for name in [
            "us_per_launch",
            "bytes_per_second",
            "bandwidth_share",
            "operations_per_second",
            "peak_share",
        ] {
            assert!(is_positive(&op[name]), "{name} of {op:#}");
        }
        let moved = number(&op["read_bytes"]) + number(&op["written_bytes"]);
        assert!(moved >= number(&op["least_bytes"]), "{op:#}");
        let weighted = ["matmul", "expert_", "embedding"];
        let kernel = op["kernel"].as_str().expect("a name");
        let reads = weighted.iter().any(|name| kernel.starts_with(name));
        assert!(!reads || op["format"] == "bf16", "{op:#}");
    }
}

fn check_start(start: &Value) {
    let seconds = |name: &str| number(&start[name]);
    assert_eq!(start["prompt_tokens"], 49);
    let parts =
        seconds("device_seconds") + seconds("load_seconds") + seconds("cold_prompt_seconds");
    assert!(seconds("first_token_seconds") >= parts, "{start:#}");
    assert!(seconds("warm_prompt_seconds") > 0.0 && seconds("compile_seconds") >= 0.0);
}

#[test]
fn tables_say_what_a_person_wants_to_know() {
    let table = text(&tiefsee(&[
        "bench", "demo", "-p", "8", "-n", "2", "-r", "2",
    ]));
    for words in [
        "| pp8 |",
        "| tg2 |",
        "copy bandwidth, measured: ",
        "first token of 8 after ",
        "pp8, launches of 8 tokens: ",
        "tg2, launches of a token: ",
        "| expert_gate_up bf16 | 3 |",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let widths = |line: &str| line.matches('|').count();
    let mut tables = 0;
    for lines in table.lines().collect::<Vec<_>>().windows(2) {
        if lines[1].starts_with("|---") {
            tables += 1;
        }
        if lines.iter().all(|line| line.starts_with('|')) {
            assert_eq!(widths(lines[0]), widths(lines[1]), "{lines:?}");
        }
    }
    assert_eq!(tables, 3);
}

#[test]
fn a_config_is_enough_for_random_weights() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/random_weights");
    std::fs::create_dir_all(folder).expect("a folder");
    for family in ["dsv3", "dsv2lite", "qwen2", "qwen3", "llama"] {
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
fn it_goes_beyond_the_models_context_if_told() {
    let shape = [
        "bench", "demo", "-p", "0", "-n", "1", "-d", "2100", "-r", "1",
    ];
    let refused = tiefsee(&shape);
    assert_eq!(refused.status.code(), Some(2));
    let table = text(&tiefsee(&[&shape[..], &["--ctx", "2200"]].concat()));
    assert!(table.contains("tg1 @ d2100"), "{table}");
}

#[test]
fn a_million_tokens_have_a_price() {
    let arguments = [
        "bench",
        "demo",
        "-p",
        "4",
        "-n",
        "4",
        "-r",
        "1",
        "--watts",
        "90",
        "--price-per-kwh",
        "0.4",
    ];
    let report = json(&tiefsee(&[&arguments[..], &["--json"]].concat()));
    let price = &report["price"];
    assert_eq!(price["deepseek_r1_per_million_tokens"], 2.19);
    assert_eq!(
        (&price["watts"], &price["per_kwh"]),
        (&90.0.into(), &0.4.into())
    );
    let tests = report["tests"].as_array().expect("tests");
    assert!(tests[0]["cost_per_million_tokens"].is_null());
    let hours = 1e6 / number(&tests[1]["tokens_per_second"]) / 3600.0;
    let cost = number(&tests[1]["cost_per_million_tokens"]);
    assert!((cost / (0.09 * 0.4 * hours) - 1.0).abs() < 1e-9);
    let table = text(&tiefsee(&arguments));
    assert!(
        table.contains("a million tokens of tg4: ") && table.contains("$2.19"),
        "{table}"
    );
}

#[test]
fn products_are_right_and_timed() {
    let report = json(&tiefsee(&[
        "bench",
        "--products=3x70x130,1x96x64",
        "-r",
        "2",
        "--json",
    ]));
    let products = report["products"].as_array().expect("products");
    assert_eq!(products.len(), 2);
    for product in products {
        assert_eq!(product["passed"], true, "{product:#}");
        let [m, n, k] = ["m", "n", "k"].map(|name| number(&product[name]));
        let seconds = number(&product["us"]) / 1e6;
        let speed = number(&product["operations_per_second"]);
        assert!((speed * seconds / (2.0 * m * n * k) - 1.0).abs() < 1e-9);
        let rate = number(&product["bytes_per_second"]);
        let bytes = 4.0 * (m * k + n * k + m * n);
        assert!((rate * seconds / bytes - 1.0).abs() < 1e-9);
        assert!(is_positive(&product["in_a_row_us"]));
    }
    let table = text(&tiefsee(&["bench", "--products=1x96x64", "-r", "1"]));
    assert!(table.contains("| 1x96x64 | matmul |"), "{table}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (arguments, words) in [
        (&["--watts", "90"][..], "--price-per-kwh"),
        (&["--price-per-kwh", "1"], "--watts"),
        (&["--watts", "0", "--price-per-kwh", "1"], "not above zero"),
        (&["--json", "-o", "csv"], "--json"),
        (&["--ops", "--compare", "x"], "--compare"),
        (&["--products", "--roofline", "x"], "--roofline"),
        (&["--products=4x4"], "three sizes"),
        (&["--force"], "--roofline"),
        (&["-p", "0", "-n", "0"], "nothing to measure"),
        (&["-r", "0"], "--repetitions"),
    ] {
        let (status, errors) = failure(&tiefsee(&[&["bench"], arguments].concat()));
        assert_eq!(status, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

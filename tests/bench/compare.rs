//! A run beside an earlier one.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::program::{failure, json as parsed, text, tiefsee};

const RUN: [&str; 9] = ["bench", "demo", "-p", "4", "-n", "4", "-r", "3", "--json"];

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("to write");
    path
}

fn with_file<'a>(path: &'a std::path::Path, more: &[&'a str]) -> Vec<&'a str> {
    let path = path.to_str().expect("UTF-8");
    [&["bench", "demo", "--compare", path], more].concat()
}

#[test]
fn each_test_and_each_kernel_is_compared() {
    let mut before = parsed(&tiefsee(&RUN));
    // A machine a thousand times as slow, and one kernel that was a thousand times as fast.
    let scale = |samples: &mut Value, factor: f64| {
        for sample in samples.as_array_mut().expect("samples") {
            *sample = json!(sample.as_f64().expect("a number") * factor);
        }
    };
    scale(&mut before["tests"][1]["samples"], 1e-3);
    scale(&mut before["tests"][1]["ops"][0]["samples_us"], 1e-3);
    let op = before["tests"][1]["ops"][0]["kernel"].clone();
    before["tests"][0]["test"] = json!("pp5");
    before["device"]["name"] = json!("another");
    let path = file("before.json", &before.to_string());

    let run = tiefsee(&with_file(&path, &RUN[2..]));
    let (_, errors) = failure(&run);
    let now = parsed(&run);
    let comparison = &now["comparison"];
    let tests = comparison["tests"].as_array().expect("tests");
    assert_eq!(tests.len(), 1);
    assert_eq!(tests[0]["verdict"], "faster");
    assert!(tests[0]["ratio"].as_f64() > Some(100.0));
    let ops = comparison["ops"].as_array().expect("ops");
    assert_eq!(
        ops.len(),
        now["tests"][1]["ops"].as_array().expect("ops").len()
    );
    let name = |line: &&Value| {
        let name = line["op"].as_str().expect("a name");
        name.split(' ').next() == op.as_str()
    };
    let slower = ops.iter().find(name).expect("the kernel");
    assert_eq!(slower["verdict"], "slower", "{slower:#}");
    let differences = comparison["differences"].to_string();
    for words in [
        "device: another before",
        "pp5: before only",
        "pp4: now only",
    ] {
        assert!(differences.contains(words), "{words}: {differences}");
        assert!(errors.contains(words), "{words}: {errors}");
    }
    let table = text(&tiefsee(&with_file(&path, &RUN[2..8])));
    assert!(
        table.contains("| tg4 | all |") && table.contains("- device: another"),
        "{table}"
    );
}

#[test]
fn a_single_sample_says_nothing() {
    let once = ["bench", "demo", "-p", "0", "-n", "2", "-r", "1", "--json"];
    let path = file("once.json", &text(&tiefsee(&once)));
    let now = parsed(&tiefsee(&with_file(&path, &once[2..])));
    let test = &now["comparison"]["tests"][0];
    assert_eq!(test["verdict"], "unknown");
    assert!(test["noise"].is_null());
    assert_eq!(now["comparison"]["differences"], json!([]));
}

#[test]
fn what_is_no_result_is_refused_before_anything_runs() {
    let missing = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-such-file.json");
    let (status, errors) = failure(&tiefsee(&with_file(&missing, &[])));
    assert_eq!(status, Some(3), "{errors}");
    let test = json!({"test": "tg1", "clock": "device", "samples": [1.0], "ops": []});
    let whole = json!({
        "kind": "tiefsee bench", "model": "demo", "format": "as stored", "cache_type": "f32",
        "device": {"name": "", "driver": ""}, "tests": [test],
    });
    let with = |name: &str, value: Value| {
        let mut changed = whole.clone();
        changed[name] = value;
        changed.to_string()
    };
    let samples = |samples: Value| {
        let mut test = test.clone();
        test["samples"] = samples;
        with("tests", json!([test]))
    };
    for (index, content) in [
        "no JSON".to_owned(),
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        with("kind", json!("something else")),
        with("tests", json!({})),
        samples(json!([])),
        samples(json!([0.0])),
        samples(json!([-1.0])),
        samples(json!(["fast"])),
    ]
    .iter()
    .enumerate()
    {
        let path = file(&format!("wrong{index}.json"), content);
        let (status, errors) = failure(&tiefsee(&with_file(&path, &[])));
        assert_eq!(status, Some(4), "{content}: {errors}");
        assert!(
            errors.contains("no result of `tiefsee bench --json`"),
            "{errors}"
        );
    }
}

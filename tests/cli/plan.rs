//! What a model takes of the device's memory.

use serde_json::Value;

use crate::{Folder, ended, on_device, tiefsee};

#[track_caller]
fn plan(arguments: &[&str], status: i32) -> Value {
    let all = [&["plan", "--json"], arguments].concat();
    let ended = ended(&mut on_device(&all));
    assert_eq!(ended.status, Some(status), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("an object")
}

fn count(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

#[test]
fn plans_add_up_and_follow_the_options() {
    let plan = |arguments: &[&str]| plan(&[&["demo", "--memory", "1GiB"], arguments].concat(), 0);
    let whole = plan(&[]);
    let weights = |plan: &Value| {
        let formats = plan["weights"].as_object().expect("an object");
        formats.values().map(count).sum::<u64>()
    };
    let parts = ["vectors", "cache", "scratch"].map(|part| count(&whole[part]));
    assert_eq!(
        count(&whole["total"]),
        weights(&whole) + parts.iter().sum::<u64>()
    );
    assert_eq!(
        (&whole["context"], &whole["fits"]),
        (&2048.into(), &true.into())
    );
    let short = plan(&["--ctx", "512"]);
    assert_eq!(4 * count(&short["cache"]), count(&whole["cache"]));
    let packed = plan(&["--quantize", "q4_0"]);
    assert!(weights(&packed) < weights(&whole) / 2, "{packed}");
    // The same code counts for `inspect`.
    let inspected = ended(&mut tiefsee(&["inspect", "demo", "--json"])).done();
    let inspected: Value = serde_json::from_str(&inspected).expect("an object");
    assert_eq!(
        count(&inspected["memory"]["as_stored"]),
        weights(&whole) + count(&whole["vectors"])
    );
    assert_eq!(
        count(&inspected["memory"]["q4_0"]),
        weights(&packed) + count(&packed["vectors"])
    );
}

#[test]
fn what_does_not_fit_says_what_does() {
    let small = plan(&["demo", "--memory", "9MiB"], 6);
    assert_eq!(small["fits"], false);
    let fits = count(&small["largest_context"]);
    assert!((32..2048).contains(&fits), "{small}");
    plan(&["demo", "--memory", "9MiB", "--ctx", &fits.to_string()], 0);
    plan(
        &["demo", "--memory", "9MiB", "--ctx", &(fits + 1).to_string()],
        6,
    );
    let refused = ended(&mut on_device(&["plan", "demo", "--memory", "9MiB"]));
    assert_eq!(refused.status, Some(6));
    for line in [
        &format!("--ctx {fits}"),
        "--quantize q8_0",
        "--cache-type q8_0",
        "9.00 MiB",
    ] {
        assert!(refused.stdout.contains(line), "{}", refused.stdout);
    }
    assert!(refused.stderr.contains("demo needs "), "{}", refused.stderr);
}

#[test]
fn a_load_that_is_refused_prints_the_plan() {
    let folder = Folder::with_demo("plan-refused");
    let file = folder.file("config.json");
    let config = std::fs::read_to_string(&file).expect("the config");
    let longer = config.replace(
        "\"max_position_embeddings\": 2048",
        "\"max_position_embeddings\": 1000000000",
    );
    assert_ne!(config, longer);
    std::fs::write(&file, longer).expect("the config can be written");
    let arguments = ["run", folder.path(), "Hello", "--ctx", "1000000000"];
    let refused = ended(&mut on_device(&arguments)).failed(6);
    for line in ["weights ", "cache ", "total ", "fits", "--ctx "] {
        assert!(refused.contains(line), "{refused}");
    }
    let planned = plan(&[folder.path(), "--ctx", "1000000000"], 6);
    assert_eq!(planned["context"], 1_000_000_000);
}

#[test]
fn senseless_amounts_and_models_are_refused() {
    for memory in ["much", "GiB", "-1", "0", "1e30", ""] {
        let argument = format!("--memory={memory}");
        assert_eq!(
            ended(&mut tiefsee(&["plan", "demo", &argument])).status,
            Some(2)
        );
    }
    ended(&mut tiefsee(&["plan", "/no/such/model"])).failed(3);
    let long = ended(&mut on_device(&["plan", "demo", "--ctx", "2049"])).failed(2);
    assert!(long.contains("longer than the 2048"), "{long}");
    let mut none = tiefsee(&["plan", "demo"]);
    none.env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    ended(&mut none).failed(5);
}

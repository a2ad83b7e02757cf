//! What headers say of a model, without a GPU.

use std::process::Command;

use serde_json::Value;

use crate::{Folder, ended, golden, tiefsee};

/// The command where no driver can be found.
fn inspect(arguments: &[&str]) -> Command {
    let mut command = tiefsee(&[&["inspect"], arguments].concat());
    command
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    command
}

fn report(model: &str) -> Value {
    serde_json::from_str(&ended(&mut inspect(&[model, "--json"])).done()).expect("it is one object")
}

#[test]
fn the_demo_is_what_its_recipe_says() {
    let report = report("demo");
    let numbers = [
        ("layers", 4),
        ("hidden", 128),
        ("heads", 4),
        ("experts", 16),
        ("shared_experts", 1),
        ("experts_per_token", 4),
        ("vocabulary", 512),
        ("context", 2048),
        ("files", 1),
        ("bytes", 5_098_528),
        // Latent and rotary columns of four layers, four bytes each.
        ("cache_per_token", 4 * 4 * (64 + 32)),
    ];
    for (name, number) in numbers {
        assert_eq!(report[name], number, "{name}");
    }
    assert_eq!(report["model_type"], "deepseek_v3");
    assert_eq!(
        (&report["tokenizer"], &report["chat_template"]),
        (&true.into(), &"yes".into())
    );
    assert_eq!(report["supported"], "yes");
}

#[test]
fn parameters_are_counted_with_and_without_idle_experts() {
    let report = report("demo");
    let (hidden, heads, layers) = (128, 4, 4);
    let attention = 96 * hidden + 96 // q_a_proj and its norm
        + heads * 64 * 96 // q_b_proj
        + (64 + 32) * hidden + 64 // kv_a_proj_with_mqa and its norm
        + heads * 64 * 64 // kv_b_proj
        + hidden * heads * 32; // o_proj
    let expert = 3 * 64 * hidden;
    let router = 16 * hidden + 16;
    let rest = 2 * 512 * hidden + hidden // embedding, head, last norm
        + layers * (attention + 2 * hidden)
        + 3 * 384 * hidden // the dense layer
        + 3 * (router + expert); // routers and shared experts
    assert_eq!(report["parameters"], rest + 3 * 16 * expert);
    assert_eq!(report["active_parameters"], rest + 3 * 4 * expert);
    assert!(report["prediction_parameters"].as_u64() > Some(0));
}

#[test]
fn memory_falls_with_the_format() {
    let report = report("demo");
    let bytes = |name: &str| report["memory"][name].as_u64().expect("it is a number");
    // Two bytes for each weight, and four for the few that are not in matrices. The layer of predictions has copies of
    // the embedding and of the head, which are not loaded.
    let count = |name: &str| report[name].as_u64().expect("it is a number");
    let loaded = count("parameters") + count("prediction_parameters") - 2 * 512 * 128;
    assert!(
        (2 * loaded..2 * loaded + 8192).contains(&bytes("as_stored")),
        "{}",
        bytes("as_stored")
    );
    assert_eq!(bytes("bf16"), bytes("as_stored"));
    let order = ["f32", "bf16", "q8_0", "q4_0"].map(bytes);
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
}

#[test]
fn golden_models_and_tensors_are_described() {
    for model in ["dsv2", "dsv2lite", "dsv3", "odd", "wide"] {
        let report = report(&golden(model));
        assert_eq!(report["supported"], "yes", "{model}");
        assert_eq!(
            (&report["tokenizer"], &report["chat_template"]),
            (&false.into(), &"no".into()),
            "{model}"
        );
    }
    let text = ended(&mut inspect(&[&golden("odd"), "--tensors"])).done();
    assert!(
        text.contains("model type            deepseek_v3\n"),
        "{text}"
    );
    assert!(text.contains("\nmodel.norm.weight  BF16  ["), "{text}");
    let object = ended(&mut inspect(&[&golden("odd"), "--tensors", "--json"])).done();
    let object: Value = serde_json::from_str(&object).expect("it is one object");
    let tensors = object["tensors"].as_array().expect("the tensors are there");
    let listed: u64 = tensors
        .iter()
        .filter_map(|tensor| tensor["bytes"].as_u64())
        .sum();
    let stored = object["stored"].as_object().expect("the types are there");
    assert_eq!(
        listed,
        stored
            .values()
            .filter_map(|sums| sums["bytes"].as_u64())
            .sum::<u64>()
    );
}

#[test]
fn what_cannot_run_can_still_be_looked_at() {
    let folder = Folder::with_demo("inspect");
    let config = std::fs::read_to_string(folder.file("config.json")).expect("it was copied");
    std::fs::write(
        folder.file("config.json"),
        config.replace("deepseek_v3", "gpt_neox"),
    )
    .expect("it can be written");
    std::fs::write(
        folder.file("tokenizer_config.json"),
        r#"{"chat_template": "{% if"}"#,
    )
    .expect("it can be written");
    let report = report(folder.path());
    assert!(
        report["supported"]
            .as_str()
            .is_some_and(|why| why.contains("\"gpt_neox\" is not supported")),
        "{report}"
    );
    assert!(
        report["chat_template"]
            .as_str()
            .is_some_and(|why| why.starts_with("damaged")),
        "{report}"
    );
    assert_eq!(report["layers"], 4);
    assert_eq!(report["memory"], Value::Null);
    std::fs::write(
        folder.file("config.json"),
        config.replace("deepseek_v3", "qwen2"),
    )
    .expect("it can be written");
    let other = self::report(folder.path());
    let why = other["supported"].as_str().expect("a text");
    assert!(why.starts_with("no: has no tensor "), "{why}");
}

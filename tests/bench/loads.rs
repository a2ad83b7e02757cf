//! A generated token reads little more than the weights that it touches and its cache.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{json as parsed, tiefsee};

/// A golden model's config with other values.
fn config(name: &str, golden: &str, values: &Value) -> String {
    let path = format!(
        "{}/tests/golden/{golden}/config.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(path).expect("a config")).expect("JSON");
    for (key, value) in values.as_object().expect("values") {
        config[key] = value.clone();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.json"), config.to_string()).expect("to write");
    folder.to_str().expect("UTF-8").to_owned()
}

/// What a token at each depth reads, by its launches, over what it must.
fn shares(model: &str, depths: &str, more: &[&str]) -> Vec<f64> {
    let arguments = [
        "bench",
        model,
        "--random-weights",
        "-p",
        "0",
        "-n",
        "2",
        "-d",
        depths,
        "-r",
        "1",
        "--json",
    ];
    let report = parsed(&tiefsee(&[&arguments[..], more].concat()));
    let tests = report["tests"].as_array().expect("tests").iter();
    tests
        .map(|test| {
            let bytes = |name: &str| test[name].as_f64().expect("a count");
            bytes("read_bytes_per_token") / bytes("bytes_per_token")
        })
        .collect()
}

/// Less would be a weight forgotten.
#[track_caller]
fn assert_close(shares: &[f64]) {
    assert!(!shares.is_empty());
    for share in shares {
        assert!((1.0..=1.05).contains(share), "{shares:?}");
    }
}

#[test]
fn experts_and_latent_attention() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v3-48m");
    assert_close(&shares(model, "0,512", &[]));
    assert_close(&shares(model, "0", &["--quantize", "q8_0"]));
}

#[test]
fn dense_layers_and_grouped_attention() {
    let values = json!({
        "hidden_size": 512, "intermediate_size": 1536, "head_dim": 64, "num_attention_heads": 8,
        "num_key_value_heads": 2, "vocab_size": 4096,
    });
    let model = config("dense", "qwen3", &values);
    for cache in ["f32", "f16", "q8_0"] {
        assert_close(&shares(&model, "0,500", &["--cache-type", cache]));
    }
}

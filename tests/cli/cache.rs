//! `run --cache-file`: a second process goes on from what the first left.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Ended, ended, on_device};

const LONG: &str = "Answer briefly. You are asked for sums, products and differences of small numbers, one at a \
time, and what you say is the number with a full stop behind it, after you have thought about it.";

fn ask(question: &str, model: &str, file: &Path) -> Ended {
    let file = file.to_str().expect("a path of UTF-8");
    let arguments = [
        "run",
        model,
        question,
        "--raw",
        "--json",
        "--max-tokens",
        "12",
    ];
    let more = ["--temperature", "0", "--cache-file", file];
    ended(&mut on_device(&[&arguments[..], &more].concat()))
}

fn object(ended: Ended) -> Value {
    serde_json::from_str(&ended.done()).expect("one JSON object")
}

#[test]
fn a_saved_cache_is_gone_on_from_and_nothing_else_is() {
    let folder = std::env::temp_dir().join(format!("tiefsee-cache-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("prompt.cache");
    let first = object(ask(&format!("{LONG} 27 + 48"), "demo", &file));
    assert_eq!(first["usage"]["cached_tokens"], 0);
    let saved = fs::read(&file).expect("the file is there");

    // The same prompt, and one that goes on otherwise.
    let again = object(ask(&format!("{LONG} 27 + 48"), "demo", &file));
    assert_eq!(again["tokens"], first["tokens"]);
    let tokens = first["usage"]["prompt_tokens"].as_u64().expect("a number");
    let blocks = (tokens - 1) / 32 * 32;
    assert!(blocks >= 32);
    assert_eq!(again["usage"]["cached_tokens"], blocks);
    assert_eq!(
        fs::read(&file).expect("a file"),
        saved,
        "nothing new to save"
    );
    let other = object(ask(&format!("{LONG} 9 - 2"), "demo", &file));
    assert!(other["usage"]["cached_tokens"].as_u64() >= Some(32));
    let fresh = object(ask(&format!("{LONG} 9 - 2"), "demo", &folder.join("none")));
    assert_eq!(other["tokens"], fresh["tokens"]);

    let mut damaged = saved.clone();
    damaged[saved.len() / 2] ^= 4;
    fs::write(&file, &damaged).expect("a file");
    let error = ask(LONG, "demo", &file).failed(4);
    assert!(error.contains("prompt.cache"), "{error}");
    fs::write(&file, &saved).expect("a file");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo-model");
    let packed = on_device(&["run", model, LONG, "--quantize", "q8_0"])
        .arg("--cache-file")
        .arg(&file)
        .output();
    let error = Ended::from(packed.expect("the program runs")).failed(4);
    assert!(error.contains("another model"), "{error}");
    fs::remove_dir_all(&folder).expect("it can go");
}

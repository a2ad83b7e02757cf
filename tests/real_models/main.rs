//! Models and tokenizers that others made and published, from the packages that `tests/setup.sh all` fetches.
//!
//! It is no test for every driver: kernels are compared on each elsewhere, and these answers take long.

#[path = "../common/mod.rs"]
mod common;
mod deepseek;
#[path = "../common/gguf.rs"]
mod gguf_file;
mod smollm2;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use pollster::block_on;
use serde_json::Value;
use tiefsee::checkpoint::{Checkpoint, Folder};
use tiefsee::text::Tokenizer;

/// A golden file.
fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let text = std::fs::read_to_string(&path).expect("a golden file");
    serde_json::from_str(&text).expect("JSON")
}

/// The file that an entry of a golden file names.
fn packaged(entry: &Value) -> PathBuf {
    let field = |name: &str| entry[name].as_str().expect("a text");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("packages")
        .join(field("package"))
        .join(field("file"));
    assert!(
        path.is_file(),
        "{} is not here: run `sh tests/setup.sh all`, which fetches it",
        path.display()
    );
    path
}

fn open_gguf(path: &Path) -> Checkpoint {
    let folder = Folder::of_file(path).expect("the file");
    block_on(Checkpoint::open(Rc::new(folder))).expect("a checkpoint")
}

/// The tokenizer of a GGUF file.
fn tokenizer_of(checkpoint: &Checkpoint) -> Tokenizer {
    let json = block_on(checkpoint.text("tokenizer.json")).expect("sound metadata");
    let vocabulary = checkpoint.config()["vocab_size"].as_u64().expect("a size");
    let json = json.expect("a tokenizer");
    Tokenizer::from_json("tokenizer.json", json.as_bytes(), vocabulary as usize)
        .expect("a tokenizer")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("ids")
}

/// Checks the ids of all of a golden file's texts, and that they become the texts again.
#[track_caller]
fn assert_texts(tokenizer: &Tokenizer, golden: &Value, what: &str) {
    let texts = list(&golden["texts"]);
    assert!(texts.len() >= 50, "only {} texts", texts.len());
    for case in texts {
        let text = case["text"].as_str().expect("a text");
        let tokens = tokenizer.encode(text).expect("tokens");
        assert_eq!(tokens, ids(&case["ids"]), "{what}: {text:?}");
        let back = tokenizer.decode(&tokens, tiefsee::text::Specials::Keep);
        assert_eq!(back, text, "{what}");
    }
}

//! GGUF files of the same models: the scores that the folders give, and those of files that are quantised.

use std::path::{Path, PathBuf};

use super::reference::golden::Golden;
use super::{TOLERANCE, in_chunks, largest_difference, runner};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/gguf")
        .join(name)
}

/// Checks the scores of a file, in one piece and token by token.
#[track_caller]
fn assert_scores(name: &str, golden: &Golden) {
    let (tokens, expected) = (golden.tokens(), golden.floats("logits"));
    let mut runner = runner(&file(name));
    for chunk in [tokens.len(), 1] {
        let actual = in_chunks(&mut runner, &tokens, chunk);
        let difference = largest_difference(&actual, &expected);
        println!("{name} in chunks of {chunk}: off by {difference:e}");
        assert!(difference <= TOLERANCE, "{name}: off by {difference}");
    }
}

#[test]
fn files_score_as_the_folders_they_were_made_from() {
    for (name, family) in [
        ("dsv3.gguf", "dsv3"),
        ("dsv2lite.gguf", "dsv2lite"),
        ("qwen2.gguf", "qwen2"),
        ("qwen2-v2.gguf", "qwen2"),
        ("qwen3.gguf", "qwen3"),
        ("llama.gguf", "llama"),
        ("llama-split-00001-of-00002.gguf", "llama"),
    ] {
        assert_scores(name, &Golden::open(family));
    }
}

#[test]
fn files_with_whole_kv_b_score_as_transformers() {
    assert_scores("dsv2-old.gguf", &Golden::beside(&file("dsv2-old.gguf")));
}

#[test]
fn files_in_many_block_types_score_as_their_decoded_weights() {
    for name in ["mixed.gguf", "deepseek2-mixed.gguf"] {
        assert_scores(name, &Golden::beside(&file(name)));
    }
}

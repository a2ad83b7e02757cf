//! What cannot be written in another format is refused before anything is.

use std::fs;
use std::io::Write;
use std::path::Path;

use pollster::block_on;
use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::checkpoint::{Checkpoint, Conversion, Recipe, pack_blocks};

use crate::files::{Files, assert_fails, f32_bytes, safetensors};
use crate::gguf_config::dense;

const RECIPE: &str = "q8_0";

fn to_folder(checkpoint: &Checkpoint) -> Result<()> {
    let recipe = Recipe::named(RECIPE).expect("a recipe");
    block_on(Conversion::to_folder(checkpoint, &recipe)).map(|_| ())
}

fn to_gguf(checkpoint: &Checkpoint) -> Result<()> {
    let recipe = Recipe::named(RECIPE).expect("a recipe");
    block_on(Conversion::to_gguf(checkpoint, &recipe, "test")).map(|_| ())
}

/// A GGUF file of `checkpoint`.
fn written(checkpoint: &Checkpoint, recipe: &str) -> Checkpoint {
    let recipe = Recipe::named(recipe).expect("a recipe");
    let conversion = block_on(Conversion::to_gguf(checkpoint, &recipe, "test"));
    let conversion = conversion.expect("a conversion");
    let mut bytes = Vec::new();
    let out: (&Path, &mut dyn Write) = ("x.gguf".as_ref(), &mut bytes);
    block_on(conversion.write(
        out,
        &|format, values| pack_blocks(format, values),
        &mut |_| Ok(()),
    ))
    .expect("a file");
    Files::gguf(bytes).open().expect("a checkpoint")
}

/// A file of a golden model.
fn read(name: &str, file: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    fs::read(format!("{root}/tests/golden/{name}/{file}")).expect("a file")
}

/// The golden model called `name` with a changed configuration.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Checkpoint {
    let mut config = serde_json::from_slice(&read(name, "config.json")).expect("JSON");
    change(&mut config);
    let files = Files::single(read(name, "model.safetensors"));
    let files = files.with("config.json", config.to_string());
    files.open().expect("a checkpoint")
}

#[test]
fn tensors_that_cannot_be_read_are_named() {
    for (dtype, shape, bytes, what) in [
        ("I32", &[2, 2][..], vec![0; 16], "I32"),
        ("F8_E4M3", &[2, 2], vec![0; 4], "F8_E4M3"),
        ("F32", &[0, 3], Vec::new(), "empty shape [0, 3]"),
        ("F4", &[0, 1 << 61], Vec::new(), "empty shape"),
    ] {
        let file = safetensors(&[("model.norm.weight", dtype, shape, bytes)]);
        let files = Files::single(file).with("config.json", r#"{"num_hidden_layers": 1}"#);
        let checkpoint = files.open().expect("a checkpoint");
        assert_fails(to_folder(&checkpoint), 4, &["model.norm.weight", what]);
    }
}

#[test]
fn factors_that_make_numbers_infinite_are_refused() {
    let config =
        json!({"quantization_config": {"quant_method": "fp8", "weight_block_size": [2, 2]}});
    for (factor, is_fine) in [(7e35, true), (8e35, false)] {
        let file = safetensors(&[
            ("a.weight", "F8_E4M3", &[2, 2], vec![0x7e; 4]),
            ("a.weight_scale_inv", "F32", &[1, 1], f32_bytes(&[factor])),
        ]);
        let files = Files::single(file).with("config.json", config.to_string());
        let checkpoint = files.open().expect("a checkpoint");
        let tensor = checkpoint.tensor("a.weight").expect("the tensor");
        let read = block_on(tensor.read_all());
        if is_fine {
            assert_eq!(read.expect("numbers"), [448.0 * factor; 4]);
        } else {
            assert_fails(read, 4, &["a.weight_scale_inv", "8e35"]);
        }
    }
}

#[test]
fn what_gguf_files_cannot_say_is_not_written() {
    for (name, number) in [
        ("mscale_all_dim", Value::Null),
        ("mscale_all_dim", 0.into()),
        ("mscale", Value::Null),
        ("mscale", 1.into()),
    ] {
        let checkpoint = changed("dsv2lite", |config| {
            config["rope_parameters"][name] = number.clone();
        });
        assert_fails(to_gguf(&checkpoint), 4, &[name, "GGUF files"]);
        to_folder(&checkpoint).expect("a folder says it");
    }
}

#[test]
fn that_no_experts_are_shared_is_written() {
    let checkpoint = changed("dsv2lite", |config| {
        config["n_shared_experts"] = Value::Null;
    });
    let written = written(&checkpoint, RECIPE);
    let metadata = written.metadata().expect("metadata");
    let count = metadata["deepseek2.expert_shared_count"].as_u64();
    assert_eq!(count, Some(0));
}

#[test]
fn biases_of_llama_are_refused_in_both_directions() {
    let name = "model.layers.0.self_attn.q_proj.bias";
    let what = [name, "biases of Llama are not supported"];
    let bias = safetensors(&[(name, "F32", &[48], f32_bytes(&[0.0; 48]))]);
    let config = read("llama", "config.json");
    let files = Files::single(bias).with("config.json", config);
    assert_fails(to_gguf(&files.open().expect("a checkpoint")), 4, &what);
    let file = dense("llama").floats("blk.0.attn_q.bias", &[64], &[0.0; 64]);
    let files = Files::gguf(file.bytes());
    assert_fails(to_folder(&files.open().expect("a checkpoint")), 4, &what);
}

/// A model of a table of embeddings and of a tokenizer.
fn with_tokenizer(pre_tokenizer: &Value) -> Checkpoint {
    let table = safetensors(&[(
        "model.embed_tokens.weight",
        "F32",
        &[4, 256],
        f32_bytes(&[1.0; 1024]),
    )]);
    let config = json!({
        "model_type": "qwen2", "num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_size": 256,
        "intermediate_size": 8, "num_attention_heads": 1, "vocab_size": 4, "tie_word_embeddings": true,
    });
    let added = |id: usize, content: &str| json!({"id": id, "content": content, "special": false});
    let tokenizer = json!({
        "added_tokens": [added(1, "<｜User｜>"), added(2, "<think>"), added(3, "<|fim_prefix|>")],
        "pre_tokenizer": pre_tokenizer, "model": {"vocab": {"a": 0}, "merges": []},
    });
    let files = Files::single(table)
        .with("config.json", config.to_string())
        .with("tokenizer.json", tokenizer.to_string());
    files.open().expect("a checkpoint")
}

fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "use_regex": use_regex})
}

#[test]
fn tokens_that_look_special_steer() {
    let written = written(&with_tokenizer(&byte_level(false, true)), RECIPE);
    let metadata = written.metadata().expect("metadata");
    assert_eq!(metadata["tokenizer.ggml.pre"].as_str(), Some("gpt-2"));
    let text = block_on(written.text("tokenizer.json")).expect("a tokenizer");
    let text: Value = serde_json::from_str(&text.expect("a tokenizer")).expect("JSON");
    let added = text["added_tokens"].as_array().expect("a list").iter();
    let special: Vec<_> = added.map(|token| token["special"].as_bool()).collect();
    assert_eq!(special, [Some(true), Some(false), Some(true)], "{text}");
}

#[test]
fn cuts_without_a_name_are_refused() {
    let sequence = json!({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, byte_level(false, false)]});
    for pre_tokenizer in [byte_level(true, true), byte_level(false, false), sequence] {
        let checkpoint = with_tokenizer(&pre_tokenizer);
        assert_fails(to_gguf(&checkpoint), 4, &["tokenizer.json", "no name for"]);
    }
}

#[test]
fn a_mixture_keeps_more_of_the_matrix_of_the_scores() {
    let checkpoint = with_tokenizer(&byte_level(false, true));
    let written = written(&checkpoint, "Q4_K_M");
    let table = written
        .tensor("model.embed_tokens.weight")
        .expect("a table");
    assert_eq!(table.format().map(|format| format.name), Some("q6_k"));
}

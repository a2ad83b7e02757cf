//! The kinds of files, each with good ones and with everything that is read from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pollster::block_on;
use serde_json::{Value, json};
use tiefsee::checkpoint::Checkpoint;
use tiefsee::models::architecture;
use tiefsee::text::{ChatTemplate, Message, Role, Tokenizer};

use crate::Target;
use crate::files::{Files, f32_bytes, safetensors as write_safetensors};

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> Vec<u8> {
    let path = project(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every tensor's first and last row, the architecture's sizes, and the texts.
fn read_all(files: Files) {
    let Ok(checkpoint) = block_on(Checkpoint::open(Rc::new(files))) else {
        return;
    };
    for tensor in checkpoint.tensors() {
        let rows = tensor.rows();
        if rows > 0 {
            drop(block_on(tensor.read_rows(0..1)));
            drop(block_on(tensor.read_rows(rows - 1..rows)));
            if tensor.format().is_some() {
                drop(block_on(tensor.read_planes(0..1)));
            }
        }
    }
    let shape =
        architecture(&checkpoint).and_then(|architecture| (architecture.shape)(&checkpoint));
    let vocabulary = shape.map_or(1000, |shape| shape.vocabulary);
    if let Ok(Some(text)) = block_on(checkpoint.text("tokenizer.json")) {
        drop(Tokenizer::from_json(
            "tokenizer.json",
            text.as_bytes(),
            vocabulary,
        ));
    }
    if let Ok(Some(text)) = block_on(checkpoint.text("tokenizer_config.json")) {
        render(&serde_json::from_str(&text).unwrap_or(Value::Null), None);
    }
}

fn render(config: &Value, template: Option<&str>) {
    let turns = [
        (Role::User, "What is 1 + 1?"),
        (Role::Assistant, "2"),
        (Role::User, "Sure?"),
    ];
    let messages = turns.map(|(role, content)| Message::new(role, content));
    if let Ok(template) = ChatTemplate::from_config(config, template) {
        drop(template.render(&messages, true));
    }
}

/// GGUF files whole: metadata, tensors, tokenizer, template.
pub(crate) fn gguf() -> Target {
    let names = ["dsv3", "dsv2-old", "qwen2-v2", "qwen3", "llama", "mixed"];
    let seeds = names.map(|name| read(&format!("tests/golden/gguf/{name}.gguf")));
    // What lies behind the metadata is only numbers.
    let heads = seeds.map(|seed| seed[..seed.len().min(48 << 10)].to_vec());
    Target {
        name: "gguf",
        seeds: heads.to_vec(),
        words: &[
            "GGUF",
            "general.architecture",
            "general.alignment",
            "split.count",
            "tokenizer.ggml.tokens",
        ],
        read: |bytes| read_all(Files::gguf(bytes)),
    }
}

/// Files of weights.
pub(crate) fn safetensors() -> Target {
    let tensors = [
        ("a.weight", "F32", &[2, 3][..], f32_bytes(&[1.0; 6])),
        ("b", "BF16", &[4], vec![0; 8]),
        ("c.weight", "F8_E4M3", &[2, 2], vec![56; 4]),
        ("c.weight_scale_inv", "F32", &[1, 1], f32_bytes(&[2.0])),
        ("d", "F64", &[], vec![0; 8]),
    ];
    Target {
        name: "safetensors",
        seeds: vec![
            write_safetensors(&tensors),
            write_safetensors(&tensors[..2]),
        ],
        words: &[
            "F8_E8M0",
            "F4",
            "\"shape\":[",
            "__metadata__",
            "data_offsets",
        ],
        read: |bytes| {
            let config = r#"{"quantization_config":{"quant_method":"fp8"}}"#;
            let files = Files::single(bytes).with("config.json", config);
            read_all(files);
        },
    }
}

/// The list of a checkpoint's shards.
pub(crate) fn index() -> Target {
    let index = json!({"metadata": {"total_size": 8}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}});
    Target {
        name: "index",
        seeds: vec![index.to_string().into_bytes()],
        words: &[
            "../",
            "/etc/passwd",
            "a.safetensors",
            "\\u0000",
            "weight_map",
        ],
        read: |bytes| {
            let shard = |name| write_safetensors(&[(name, "F32", &[1], f32_bytes(&[1.0]))]);
            let files = Files::default()
                .with("config.json", "{}")
                .with("model.safetensors.index.json", bytes)
                .with("a.safetensors", shard("x"))
                .with("b.safetensors", shard("y"));
            read_all(files);
        },
    }
}

/// Configurations of every architecture.
pub(crate) fn config() -> Target {
    let names = [
        "dsv3", "dsv2", "dsv2lite", "qwen2", "qwen3", "llama", "dsv3fp8", "dsv32",
    ];
    let seeds = names.map(|name| read(&format!("tests/golden/{name}/config.json")));
    Target {
        name: "config",
        seeds: seeds.to_vec(),
        words: &[
            "null",
            "true",
            "\"yarn\"",
            "\"llama3\"",
            "qwen2",
            "deepseek_v2",
            "-",
        ],
        read: |bytes| {
            let weights = write_safetensors(&[("x", "F32", &[1], f32_bytes(&[1.0]))]);
            read_all(Files::single(weights).with("config.json", bytes));
        },
    }
}

/// tokenizer.json.
pub(crate) fn tokenizer() -> Target {
    let small = json!({
        "added_tokens": [{"id": 5, "content": "<s>", "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false}],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġa": 4},
            "merges": [["a", "b"], ["Ġ", "a"]]},
    });
    let demo = read("examples/demo-model/tokenizer.json");
    Target {
        name: "tokenizer",
        seeds: vec![small.to_string().into_bytes(), demo],
        words: &[
            "(a+)+$",
            "\\p{L}",
            "Unigram",
            "null",
            "[\"a\",\"b\"]",
            "Metaspace",
        ],
        read: |bytes| {
            if let Ok(tokenizer) = Tokenizer::from_json("tokenizer.json", bytes, 512) {
                drop(tokenizer.encode("ab a 12345 <s> \u{1f600} ä"));
            }
        },
    }
}

/// Chat templates.
pub(crate) fn template() -> Target {
    let config = read("examples/demo-model/tokenizer_config.json");
    let config: Value = serde_json::from_slice(&config).expect("a configuration");
    let demo = config["chat_template"]
        .as_str()
        .expect("a template")
        .to_owned();
    let loops = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}\
        {% if m['role'] == 'user' %}{{ '<U>' + m['content'].split('</think>')[-1] | trim }}{% else %}\
        {{ m.content | upper }}{% endif %}{% endfor %}{{ messages | tojson }}{{ range(3) | list }}";
    Target {
        name: "template",
        seeds: vec![demo.into_bytes(), loops.into()],
        words: &[
            "{% for x in messages %}",
            "{% endfor %}",
            "{{",
            "}}",
            "~",
            " * 99999",
            "range(",
            "| list",
            "loop",
        ],
        read: |bytes| {
            if let Ok(template) = std::str::from_utf8(bytes) {
                render(&json!({}), Some(template));
            }
        },
    }
}

//! Files that the `gguf` package wrote open as the checkpoints they were made from.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use pollster::block_on;
use serde_json::Value;
use tiefsee::checkpoint::{Checkpoint, Folder, Rope, RopeScaling};
use tiefsee::text::{ChatTemplate, GenerationConfig, Message, Tokenizer};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn gguf(name: &str) -> Checkpoint {
    let folder = Folder::of_file(golden("gguf").join(format!("{name}.gguf"))).expect(name);
    block_on(Checkpoint::open(Rc::new(folder))).expect(name)
}

/// Each file with the checkpoint that it was made from.
const PAIRS: [(&str, &str); 7] = [
    ("dsv3", "dsv3"),
    ("dsv2lite", "dsv2lite"),
    ("dsv2-old", "dsv2"),
    ("qwen2", "qwen2"),
    ("qwen2-v2", "qwen2"),
    ("qwen3", "qwen3"),
    ("llama-split-00002-of-00002", "llama"),
];

/// Fields that models read, besides those of rotations.
const FIELDS: [&str; 27] = [
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "hidden_act",
    "bos_token_id",
    "eos_token_id",
    "n_routed_experts",
    "n_shared_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "norm_topk_prob",
    "routed_scaling_factor",
    "n_group",
];

#[test]
fn configurations_are_those_of_the_checkpoints() {
    for (file, folder) in PAIRS {
        let checkpoint = gguf(file);
        let config = checkpoint.config();
        let text = std::fs::read_to_string(golden(folder).join("config.json")).expect(folder);
        let expected: Value = serde_json::from_str(&text).expect(folder);
        for field in FIELDS {
            // DeepSeek's head_dim means nothing, and old files do not have groups.
            let is_excused = match field {
                "head_dim" => file.starts_with("ds") || expected[field].is_null(),
                "n_group" => file == "dsv2-old",
                _ => false,
            };
            let same = config[field] == expected[field]
                || config[field].as_f64().is_some()
                    && config[field].as_f64() == expected[field].as_f64();
            assert!(
                same || is_excused,
                "{file}: {field} is {}, not {}",
                config[field],
                expected[field]
            );
        }
        let rope = Rope::new(&checkpoint.fields().unwrap()).expect(file);
        let fields = tiefsee::checkpoint::Fields::new(folder, &expected).unwrap();
        let mut wanted = Rope::new(&fields).unwrap();
        if folder == "llama" {
            assert!(matches!(&rope.scaling, Some(RopeScaling::Divisors(list)) if list.len() == 4));
            wanted.scaling.clone_from(&rope.scaling);
        }
        if let (Some(RopeScaling::Yarn(yarn)), Some(RopeScaling::Yarn(wanted))) =
            (&rope.scaling, &mut wanted.scaling)
        {
            // Of 32 bits there are nine digits.
            assert_eq!(
                yarn.attn_factor.map(|f| f as f32),
                wanted.attn_factor.map(|f| f as f32)
            );
            wanted.attn_factor = yarn.attn_factor;
        }
        assert_eq!(rope, wanted, "{file}");
    }
}

#[test]
fn routing_is_told() {
    let routing = |file| {
        let checkpoint = gguf(file);
        let config = checkpoint.config();
        let text = |field: &str| config[field].as_str().unwrap().to_owned();
        let count = |field: &str| config[field].as_u64().unwrap();
        (
            text("topk_method"),
            text("scoring_func"),
            count("n_group"),
            count("topk_group"),
        )
    };
    let expected = |method: &str, scoring: &str, groups, kept| {
        (method.to_owned(), scoring.to_owned(), groups, kept)
    };
    assert_eq!(routing("dsv3"), expected("noaux_tc", "sigmoid", 4, 2));
    assert_eq!(routing("dsv2lite"), expected("greedy", "softmax", 1, 1));
    assert_eq!(routing("dsv2-old"), expected("greedy", "softmax", 1, 1));
}

#[test]
fn tensors_have_the_names_and_shapes_of_the_checkpoints() {
    for (file, folder) in PAIRS {
        let found = gguf(file);
        let folder = Folder::open(golden(folder)).unwrap();
        let expected = block_on(Checkpoint::open(Rc::new(folder))).unwrap();
        let layers = expected.config()["num_hidden_layers"].as_u64().unwrap();
        let predictions = format!("model.layers.{layers}.");
        for wanted in expected.tensors() {
            let name = wanted.name;
            // New files have its two halves.
            let is_halved = name.ends_with("kv_b_proj.weight") && file != "dsv2-old";
            if name.starts_with(&predictions) || is_halved && file.starts_with("ds") {
                continue;
            }
            let tensor = found
                .tensor(name)
                .unwrap_or_else(|| panic!("{file} has no {name}"));
            assert_eq!(tensor.shape, wanted.shape, "{file}: {name}");
            let is_permuted = file.starts_with("llama")
                && (name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight"));
            if !is_permuted {
                let (found, wanted) = (block_on(tensor.read_all()), block_on(wanted.read_all()));
                assert_eq!(found.unwrap(), wanted.unwrap(), "{file}: {name}");
            }
        }
        if file == "dsv3" {
            let halves = found.root().enter("model.layers.0.self_attn");
            halves.tensor("k_b_proj.weight", &[4, 32, 16]).unwrap();
            halves.tensor("v_b_proj.weight", &[4, 12, 32]).unwrap();
        }
    }
}

#[test]
fn texts_and_conversations_are_tokens() {
    let text = std::fs::read_to_string(golden("gguf/tokenizers.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let files = PAIRS.into_iter().map(|(file, _)| file);
    for file in files.chain(["mixed", "deepseek2-mixed"]) {
        let key = file
            .trim_end_matches("-v2")
            .trim_end_matches("-00002-of-00002");
        let expected = &expected[key];
        let checkpoint = gguf(file);
        let text = |name: &str| block_on(checkpoint.text(name)).unwrap().expect(name);
        let vocabulary = checkpoint.config()["vocab_size"].as_u64().unwrap() as usize;
        let json = text("tokenizer.json");
        let tokenizer = Tokenizer::from_json("x", json.as_bytes(), vocabulary).expect(file);
        let ids = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
        for case in expected["texts"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                ids(&case["ids"]),
                "{file}: {text:?}"
            );
        }
        let config: Value = serde_json::from_str(&text("tokenizer_config.json")).unwrap();
        assert_eq!(config["add_bos_token"], expected["add_bos_token"], "{file}");
        let template = ChatTemplate::from_config(&config, None).unwrap();
        let messages: Vec<Message> = serde_json::from_value(expected["messages"].clone()).unwrap();
        assert_eq!(
            template.render(&messages, true).unwrap(),
            expected["prompt"],
            "{file}"
        );
        let prompt = template.encode(&tokenizer, &messages, true).unwrap();
        assert_eq!(prompt.tokens, ids(&expected["prompt_ids"]), "{file}");
        let generation = text("generation_config.json");
        let generation = GenerationConfig::from_json("x", generation.as_bytes()).unwrap();
        assert_eq!(generation.eos_token_ids, [1], "{file}");
    }
}

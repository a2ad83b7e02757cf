//! What a GGUF file's metadata become in config.json's words.

use serde_json::{Value, json};
use tiefsee::Result;

use crate::files::{Files, assert_fails};
use crate::gguf_file::{F32, Gguf};

fn config(file: &Gguf) -> Result<Value> {
    let checkpoint = Files::gguf(file.bytes()).open()?;
    Ok(checkpoint.config().clone())
}

/// Checks that the configuration has these fields, and null for those that are missing.
#[track_caller]
fn assert_has(file: &Gguf, expected: &Value) {
    let config = config(file).expect("a configuration");
    for (field, expected) in expected.as_object().unwrap() {
        assert_eq!(config[field], *expected, "{field}");
    }
}

pub(crate) fn dense(architecture: &str) -> Gguf {
    let key = |name: &str| format!("{architecture}.{name}");
    Gguf::new(architecture)
        .u32(&key("block_count"), 2)
        .u32(&key("context_length"), 4096)
        .u32(&key("embedding_length"), 64)
        .u32(&key("feed_forward_length"), 96)
        .u32(&key("attention.head_count"), 8)
        .f32(&key("attention.layer_norm_rms_epsilon"), 1e-6)
        .floats("token_embd.weight", &[5, 2], &[1.0; 10])
}

fn deepseek() -> Gguf {
    Gguf::new("deepseek2")
        .u32("deepseek2.block_count", 4)
        .u32("deepseek2.attention.head_count", 8)
        .u32("deepseek2.attention.key_length", 24)
        .u32("deepseek2.attention.value_length", 16)
        .u32("deepseek2.rope.dimension_count", 8)
        .u32("deepseek2.expert_count", 160)
}

#[test]
fn dense_models() {
    for architecture in ["llama", "qwen2", "qwen3"] {
        let llama = architecture == "llama";
        assert_has(
            &dense(architecture),
            &json!({
                "model_type": architecture, "vocab_size": 5, "hidden_size": 64,
                "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                "num_key_value_heads": 8, "head_dim": 8, "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "attention_bias": false,
                "rope_theta": null, "rope_scaling": null,
                "rope_interleave": if llama { json!(true) } else { Value::Null },
            }),
        );
    }
    let file = dense("qwen2")
        .u32("qwen2.attention.head_count_kv", 2)
        .u32("qwen2.attention.key_length", 16)
        .u32("qwen2.attention.value_length", 16)
        .u32("qwen2.rope.dimension_count", 16)
        .f32("qwen2.rope.freq_base", 1e6)
        .u32("tokenizer.ggml.eos_token_id", 3)
        .floats("output.weight", &[5, 2], &[1.0; 10])
        .floats("blk.0.attn_q.bias", &[2], &[1.0; 2]);
    assert_has(
        &file,
        &json!({
            "num_key_value_heads": 2, "head_dim": 16, "rope_theta": 1e6, "eos_token_id": 3,
            "tie_word_embeddings": false, "attention_bias": true,
        }),
    );
}

#[test]
fn counts_may_be_lists_of_the_same() {
    let list = |counts: &[i32]| dense("llama").i32s("llama.attention.head_count_kv", counts);
    assert_has(&list(&[4, 4]), &json!({"num_key_value_heads": 4}));
    for counts in [&[4, 2][..], &[], &[-1, -1]] {
        assert_fails(
            config(&list(counts)),
            4,
            &["x.gguf", "`llama.attention.head_count_kv`"],
        );
    }
}

#[test]
fn what_dense_models_cannot_have() {
    let with = |name: &str, value| config(&dense("llama").u32(name, value));
    for name in [
        "llama.expert_count",
        "llama.attention.value_length",
        "llama.rope.dimension_count",
    ] {
        assert_fails(with(name, 4), 4, &["x.gguf", &format!("`{name}`")]);
    }
    assert!(with("llama.expert_count", 0).is_ok());
    let zero = Gguf::new("llama").u32("llama.embedding_length", 8);
    let zero = zero.u32("llama.attention.head_count", 0);
    assert_has(&zero, &json!({"head_dim": null}));
}

#[test]
fn latent_attention_of_old_and_new_files() {
    let dims = json!({
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 8,
    });
    assert_has(&deepseek(), &dims);
    let new = Gguf::new("deepseek2")
        .u32("deepseek2.attention.head_count", 8)
        .u32("deepseek2.attention.head_count_kv", 1)
        .u32("deepseek2.attention.key_length", 72)
        .u32("deepseek2.attention.value_length", 64)
        .u32("deepseek2.attention.key_length_mla", 24)
        .u32("deepseek2.attention.value_length_mla", 16)
        .u32("deepseek2.rope.dimension_count", 8);
    assert_has(&new, &dims);
    let wrong = Gguf::new("deepseek2")
        .u32("deepseek2.attention.key_length", 7)
        .u32("deepseek2.rope.dimension_count", 8);
    assert_fails(
        config(&wrong),
        4,
        &["`deepseek2.rope.dimension_count`", "8", "7"],
    );
}

#[test]
fn experts_of_old_and_new_files() {
    let old = json!({
        "model_type": "deepseek_v2", "n_routed_experts": 160, "n_group": 8, "topk_group": 3,
        "topk_method": "group_limited_greedy", "scoring_func": "softmax", "norm_topk_prob": false,
        "routed_scaling_factor": 1.0, "first_k_dense_replace": 0, "moe_layer_freq": 1,
    });
    assert_has(&deepseek(), &old);
    let new = deepseek()
        .u32("deepseek2.expert_gating_func", 2)
        .u32("deepseek2.expert_group_count", 4)
        .u32("deepseek2.expert_group_used_count", 2)
        .u32("deepseek2.nextn_predict_layers", 1)
        .bool("deepseek2.expert_weights_norm", true)
        .f32("deepseek2.expert_weights_scale", 2.5)
        .floats("blk.3.exp_probs_b.bias", &[1], &[0.0]);
    assert_has(
        &new,
        &json!({
            "model_type": "deepseek_v3", "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc",
            "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 2.5,
            "num_hidden_layers": 3, "num_nextn_predict_layers": 1,
        }),
    );
    let other = deepseek().u32("deepseek2.expert_gating_func", 4);
    assert_fails(
        config(&other),
        4,
        &["`deepseek2.expert_gating_func` is 4", "sigmoid"],
    );
}

#[test]
fn rotations() {
    let yarn = |architecture: &str| {
        let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
        Gguf::new(architecture)
            .text(&key("type"), "yarn")
            .f32(&key("factor"), 40.0)
            .u32(&key("original_context_length"), 4096)
            .f32(&key("yarn_beta_fast"), 16.0)
            .f32(&key("yarn_log_multiplier"), 0.0707)
            .f32(&key("yarn_attn_factor"), 0.5)
    };
    let mut expected = json!({
        "rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
        "beta_fast": 16.0, "attn_factor": 0.5,
    });
    assert_has(&yarn("qwen3"), &json!({"rope_scaling": expected}));
    // What llama.cpp reads for every architecture comes first.
    let both = yarn("qwen3").f32("qwen3.rope.scaling.attn_factor", 0.75);
    let mut other = expected.clone();
    other["attn_factor"] = json!(0.75);
    assert_has(&both, &json!({"rope_scaling": other}));
    expected["mscale"] = json!(0.707);
    expected["mscale_all_dim"] = json!(0.707);
    assert_has(&yarn("deepseek2"), &json!({"rope_scaling": expected}));

    let linear = json!({"rope_type": "linear", "factor": 2.0});
    let file = Gguf::new("llama").f32("llama.rope.scaling.factor", 2.0);
    assert_has(&file, &json!({"rope_scaling": linear}));
    let none = file.clone().text("llama.rope.scaling.type", "none");
    assert_has(&none, &json!({"rope_scaling": null}));

    let divisors = |file: Gguf| file.floats("rope_freqs.weight", &[2], &[1.0, 8.0]);
    let expected = json!({"rope_type": "divisors", "divisors": [1.0, 8.0]});
    assert_has(
        &divisors(Gguf::new("llama")),
        &json!({"rope_scaling": expected}),
    );
    assert_has(
        &divisors(Gguf::new("qwen2")),
        &json!({"rope_scaling": null}),
    );
    assert_fails(
        config(&divisors(file)),
        4,
        &["`llama.rope.scaling.type`", "linear"],
    );
}

#[test]
fn wrong_types_are_named() {
    let number = Gguf::new("llama").text("llama.rope.freq_base", "10000");
    assert_fails(
        config(&number),
        4,
        &["x.gguf", "`llama.rope.freq_base`", "\"10000\""],
    );
    let count = Gguf::new("llama").f32("llama.block_count", 2.0);
    assert_fails(config(&count), 4, &["`llama.block_count`", "a count"]);
    let text = Gguf::new("llama").u32("llama.rope.scaling.type", 1);
    assert_fails(config(&text), 4, &["`llama.rope.scaling.type`"]);
    let flag = deepseek().u32("deepseek2.expert_weights_norm", 1);
    assert_fails(config(&flag), 4, &["`deepseek2.expert_weights_norm`"]);
    let infinite = Gguf::new("llama").key("llama.rope.freq_base", F32, &f32::NAN.to_le_bytes());
    assert_fails(config(&infinite), 4, &["`llama.rope.freq_base`"]);
}

#[test]
fn other_architectures_are_unsupported() {
    let known = "there is deepseek2, llama, qwen2, qwen3";
    let words = [
        "memory/x.gguf",
        "architecture `foo` is not supported",
        known,
    ];
    assert_fails(config(&Gguf::new("foo")), 4, &words);
    assert_fails(
        config(&Gguf::empty()),
        4,
        &["no text `general.architecture`"],
    );
}

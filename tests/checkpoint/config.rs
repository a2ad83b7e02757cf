//! Fields of config.json, and the rotary embedding in all its spellings.

use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::checkpoint::{Fields, Llama3, Rope, RopeScaling, Yarn};

use crate::files::{assert_fails, failure};

fn rope(config: &Value) -> Result<Rope> {
    Rope::new(&Fields::new("config.json", config)?)
}

#[test]
fn fields_have_types() {
    let config = json!({
        "count": 7, "number": 0.5, "text": "x", "flag": true, "none": null,
        "list": [1, 2], "inside": {"count": 3},
    });
    let fields = Fields::new("config.json", &config).unwrap();
    assert_eq!(fields.usize("count").unwrap(), 7);
    assert_eq!(fields.f64("count").unwrap().to_bits(), 7f64.to_bits());
    assert_eq!(fields.optional_f64("number").unwrap(), Some(0.5));
    assert_eq!(fields.str("text").unwrap(), "x");
    assert!(fields.bool_or("flag", false).unwrap());
    assert_eq!(fields.usizes("list").unwrap(), [1, 2]);
    assert_eq!(fields.usizes("count").unwrap(), [7]);
    assert_eq!(
        fields
            .object("inside")
            .unwrap()
            .unwrap()
            .usize("count")
            .unwrap(),
        3
    );
    for name in ["none", "missing"] {
        assert_eq!(fields.optional_usize(name).unwrap(), None);
        assert_eq!(fields.optional_str(name).unwrap(), None);
        assert_eq!(fields.usize_or(name, 5).unwrap(), 5);
        assert_eq!(
            fields.f64_or(name, 5.5).unwrap().to_bits(),
            5.5f64.to_bits()
        );
        assert_eq!(fields.str_or(name, "y").unwrap(), "y");
        assert!(fields.bool_or(name, true).unwrap());
        assert!(fields.usizes(name).unwrap().is_empty());
        assert!(fields.object(name).unwrap().is_none());
        assert_fails(fields.usize(name), 4, &["config.json", name, "missing"]);
        assert_fails(fields.f64(name), 4, &["config.json", name, "missing"]);
        assert_fails(fields.str(name), 4, &["config.json", name, "missing"]);
    }
}

#[test]
fn fields_of_other_types_are_named() {
    let config = json!({"inside": {
        "negative": -1, "fraction": 1.5, "huge": 2_147_483_649u64, "largest": 2_147_483_648u64,
        "text": "7", "list": [1, -2],
    }});
    let fields = Fields::new("config.json", &config).unwrap();
    assert_fails(
        fields.usize("inside"),
        4,
        &["config.json", "`inside`", "an object"],
    );
    assert_fails(fields.usizes("inside"), 4, &["`inside`"]);
    let inside = fields.object("inside").unwrap().unwrap();
    for name in ["negative", "fraction", "huge", "text", "list"] {
        let field = format!("`inside.{name}`");
        assert_fails(inside.usize(name), 4, &["config.json", &field]);
        assert_fails(inside.usizes(name), 4, &["config.json", &field]);
        assert_fails(inside.object(name), 4, &["config.json", &field]);
        assert_fails(inside.bool_or(name, true), 4, &["config.json", &field]);
    }
    assert_eq!(inside.usize("largest").unwrap(), 1 << 31);
    assert_fails(inside.f64("text"), 4, &["`inside.text`", "\"7\""]);
    assert_fails(inside.str("negative"), 4, &["`inside.negative`", "-1"]);
    assert_fails(
        Fields::new("x.json", &json!([])),
        4,
        &["x.json", "not an object"],
    );
}

#[test]
fn rope_without_scaling() {
    for (config, theta) in [
        (json!({}), 10_000.0),
        (json!({"rope_theta": 5e5}), 5e5),
        (
            json!({"rope_theta": 5e5, "rope_scaling": null, "rope_parameters": null}),
            5e5,
        ),
        (json!({"rope_theta": 5e5, "rope_scaling": {}}), 5e5),
        (
            json!({"rope_theta": 5e5, "rope_scaling": {"type": "default"}}),
            5e5,
        ),
        (
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
            1e6,
        ),
        (
            json!({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 5e5}),
            1e6,
        ),
    ] {
        assert_eq!(
            rope(&config).unwrap(),
            Rope {
                theta,
                scaling: None
            },
            "{config}"
        );
    }
}

#[test]
fn yarn_in_all_spellings() {
    let numbers = json!({
        "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096,
    });
    let with = |key: &str, theta: Option<f64>| {
        let mut object = numbers.clone();
        object[key] = json!("yarn");
        if let Some(theta) = theta {
            object["rope_theta"] = json!(theta);
        }
        object
    };
    let expected = Rope {
        theta: 20_000.0,
        scaling: Some(RopeScaling::Yarn(Yarn {
            factor: 40.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            mscale: Some(0.707),
            mscale_all_dim: Some(0.707),
            original_max_position_embeddings: 4096,
            attention_factor: None,
            attn_factor: None,
        })),
    };
    for config in [
        json!({"rope_theta": 2e4, "rope_scaling": with("type", None)}),
        json!({"rope_theta": 2e4, "rope_scaling": with("rope_type", None)}),
        json!({"rope_parameters": with("rope_type", Some(2e4))}),
        json!({"rope_parameters": with("type", Some(2e4)), "rope_scaling": null}),
        json!({"rope_theta": 2e4, "rope_parameters": with("rope_type", None)}),
    ] {
        assert_eq!(rope(&config).unwrap(), expected, "{config}");
    }
}

#[test]
fn llama3_and_divisors() {
    let llama3 = json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}});
    let expected = RopeScaling::Llama3(Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    });
    assert_eq!(rope(&llama3).unwrap().scaling, Some(expected));
    for (field, wrong) in [
        ("factor", json!(0.5)),
        ("factor", json!(null)),
        ("high_freq_factor", json!(1.0)),
        ("low_freq_factor", json!(0)),
        ("original_max_position_embeddings", json!(0)),
    ] {
        let mut config = llama3.clone();
        config["rope_scaling"][field] = wrong;
        assert_fails(rope(&config), 4, &["rope_scaling", field]);
    }
    let divisors =
        |list: Value| json!({"rope_scaling": {"rope_type": "divisors", "divisors": list}});
    assert_eq!(
        rope(&divisors(json!([1, 8.0]))).unwrap().scaling,
        Some(RopeScaling::Divisors(vec![1.0, 8.0]))
    );
    for wrong in [
        json!([0]),
        json!([-1.0]),
        json!("1"),
        json!(["1"]),
        json!(null),
    ] {
        assert_fails(rope(&divisors(wrong)), 4, &["divisors"]);
    }
}

#[test]
fn yarn_has_defaults() {
    let config = json!({
        "max_position_embeddings": 131_072,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "attn_factor": 0.878},
    });
    let Some(RopeScaling::Yarn(yarn)) = rope(&config).unwrap().scaling else {
        panic!("no YaRN")
    };
    assert_eq!(yarn.original_max_position_embeddings, 131_072);
    assert_eq!(
        [yarn.beta_fast, yarn.beta_slow].map(f64::to_bits),
        [32.0, 1.0].map(f64::to_bits)
    );
    assert_eq!((yarn.mscale, yarn.mscale_all_dim), (None, None));
    assert_eq!(
        (yarn.attention_factor, yarn.attn_factor),
        (None, Some(0.878))
    );
}

#[test]
fn yarn_with_absurd_numbers_is_damaged() {
    for (field, value) in [
        ("factor", json!(0.5)),
        ("factor", json!(-4)),
        ("factor", json!("4")),
        ("factor", json!(null)),
        ("beta_fast", json!(0)),
        ("beta_fast", json!(0.5)),
        ("beta_slow", json!(-1)),
        ("mscale", json!(-0.1)),
        ("mscale_all_dim", json!([])),
        ("original_max_position_embeddings", json!(0)),
        ("original_max_position_embeddings", json!(-4096)),
        ("attention_factor", json!(0)),
        ("attn_factor", json!(-1)),
        ("rope_theta", json!(1)),
        ("rope_type", json!(3)),
        ("truncate", json!("no")),
    ] {
        let mut config = json!({
            "max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4},
        });
        assert!(rope(&config).is_ok());
        config["rope_scaling"][field] = value;
        let field = format!("`rope_scaling.{field}`");
        assert_fails(rope(&config), 4, &["config.json", &field]);
    }
    assert_fails(
        rope(&json!({"rope_theta": 0})),
        4,
        &["`rope_theta`", "above 1"],
    );
    assert_fails(rope(&json!({"rope_scaling": 4})), 4, &["`rope_scaling`"]);
    let yarn = json!({"rope_scaling": {"type": "yarn", "factor": 4}});
    assert_fails(rope(&yarn), 4, &["`max_position_embeddings`", "missing"]);
    let untyped = json!({"rope_scaling": {"factor": 4}});
    assert_fails(rope(&untyped), 4, &["`rope_scaling.rope_type`", "missing"]);
}

#[test]
fn other_scalings_are_unsupported() {
    for (config, word) in [
        (
            json!({"rope_scaling": {"type": "linear", "factor": 4}}),
            "linear",
        ),
        (
            json!({"rope_scaling": {"rope_type": "longrope", "factor": 4}}),
            "longrope",
        ),
        (
            json!({"rope_parameters": {"main": {"rope_theta": 1e4}}}),
            "main",
        ),
        (
            json!({"rope_scaling": {"type": "yarn", "factor": 4, "truncate": false}}),
            "truncate",
        ),
    ] {
        let error = failure(rope(&config));
        assert!(
            matches!(error, tiefsee::Error::Unsupported { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(word), "{error}");
    }
}

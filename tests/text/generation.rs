//! `generation_config.json`: the bundled one, odd ones and broken ones.

use tiefsee::Error;
use tiefsee::text::GenerationConfig;

use crate::demo_file;

fn read(json: &str) -> tiefsee::Result<GenerationConfig> {
    GenerationConfig::from_json("generation_config.json", json.as_bytes())
}

#[test]
fn the_bundled_model_is_greedy() {
    let config = GenerationConfig::from_json("g", &demo_file("generation_config.json")).unwrap();
    assert_eq!(config.eos_token_ids, [1]);
    assert_eq!(config.temperature.to_bits(), 0);
    assert_eq!(config.max_new_tokens, Some(800));
}

#[test]
fn fields_and_defaults() {
    let json = r#"{"eos_token_id": [1, 7], "do_sample": true, "temperature": 1, "top_p": 0.9,
        "top_k": 20, "repetition_penalty": 1.1, "transformers_version": "4.39.3"}"#;
    let expected = GenerationConfig {
        eos_token_ids: vec![1, 7],
        temperature: 1.0,
        top_p: 0.9,
        top_k: Some(20),
        repetition_penalty: 1.1,
        max_new_tokens: None,
    };
    assert_eq!(read(json).unwrap(), expected);
    assert_eq!(read("{}").unwrap(), GenerationConfig::default());
    assert_eq!(
        read(r#"{"top_k": 0, "eos_token_id": null}"#).unwrap(),
        GenerationConfig::default()
    );
    let default = GenerationConfig::default();
    assert!((default.temperature - 0.6).abs() < 1e-6 && (default.top_p - 0.95).abs() < 1e-6);
}

#[test]
fn nonsense_is_damaged() {
    let broken = [
        "",
        "{",
        "[]",
        r#"{"eos_token_id": -1}"#,
        r#"{"eos_token_id": "x"}"#,
        r#"{"temperature": -0.5}"#,
        r#"{"temperature": 1e99}"#,
        r#"{"top_p": 0}"#,
        r#"{"top_p": 1.5}"#,
        r#"{"repetition_penalty": 0}"#,
        r#"{"max_new_tokens": -3}"#,
        r#"{"do_sample": false, "temperature": -1}"#,
    ];
    for json in broken {
        let error = read(json).expect_err(json);
        assert!(matches!(error, Error::Damaged { .. }), "{json}: {error}");
    }
}

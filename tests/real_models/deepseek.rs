//! The tokenizers that `DeepSeek` published with V3 and V4.

use std::path::Path;

use serde_json::Value;
use tiefsee::text::Tokenizer;

use super::gguf_file::Gguf;
use super::{assert_texts, golden, ids, list, open_gguf, packaged, tokenizer_of};

/// Ids of both models; there are fewer tokens.
const VOCABULARY: usize = 129_280;

/// Texts with their ids, known before there were golden files.
const VECTORS: [(&str, &[u32]); 5] = [
    ("Hello, world!", &[19923, 14, 2058, 3]),
    ("你好，世界。人工智能", &[30594, 303, 3427, 320, 33574]),
    ("1234567890 12", &[6895, 18009, 25744, 18, 223, 736]),
    (
        "x=3.14159; y += 1\n\n\tz",
        &[
            90, 31, 21, 16, 9926, 3318, 29, 383, 7004, 223, 19, 271, 200, 92,
        ],
    ),
    ("don't I'll we've", &[20385, 1664, 342, 5922, 579, 5270]),
];

/// Types of tokens in GGUF files.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// The tokenizer.json of a model.
fn file(name: &str) -> Vec<u8> {
    let golden = golden("deepseek_tokenizers.json");
    let mut files = list(&golden["files"]).iter();
    let entry = files.find(|file| file["name"] == name).expect("an entry");
    std::fs::read(packaged(entry)).expect("a file")
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_json(name, &file(name), VOCABULARY).expect("a tokenizer")
}

#[test]
fn texts_are_the_tokens_of_the_reference_library() {
    for name in ["v3", "v4"] {
        assert_texts(&tokenizer(name), &golden("deepseek_tokenizers.json"), name);
    }
}

#[test]
fn known_texts_are_known_tokens() {
    for name in ["v3", "v4"] {
        let tokenizer = tokenizer(name);
        for (text, expected) in VECTORS {
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                expected,
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn special_tokens_have_their_ids() {
    let (v3, v4) = (tokenizer("v3"), tokenizer("v4"));
    for (token, id) in [
        ("<｜begin▁of▁sentence｜>", 0),
        ("<｜end▁of▁sentence｜>", 1),
        ("<｜▁pad▁｜>", 2),
        ("<｜fim▁hole｜>", 128_800),
        ("<｜User｜>", 128_803),
        ("<｜Assistant｜>", 128_804),
        ("<|EOT|>", 128_805),
        ("<｜tool▁sep｜>", 128_814),
    ] {
        for (name, tokenizer) in [("v3", &v3), ("v4", &v4)] {
            assert_eq!(tokenizer.special(token), Some(id), "{name}: {token}");
            assert_eq!(tokenizer.encode_with_specials(token).unwrap(), [id]);
            assert!(
                tokenizer.encode(token).unwrap().len() > 1,
                "{name}: {token}"
            );
        }
    }
    assert_eq!(
        (v3.special("<think>"), v3.special("</think>")),
        (None, None)
    );
    assert_eq!(v4.special("<think>"), Some(128_821));
    assert_eq!(v4.special("</think>"), Some(128_822));
}

/// The metadata that llama.cpp's converter makes of a tokenizer.json.
fn converted(json: &Value) -> Gguf {
    let mut tokens: Vec<String> = (0..VOCABULARY).map(|id| format!("[PAD{id}]")).collect();
    let mut types = vec![UNUSED; VOCABULARY];
    for (token, id) in json["model"]["vocab"].as_object().expect("tokens") {
        let id = id.as_u64().expect("an id") as usize;
        (tokens[id], types[id]) = (token.clone(), NORMAL);
    }
    for added in list(&json["added_tokens"]) {
        let token = added["content"].as_str().expect("a text");
        // It takes all that looks like markup for it.
        let looks = [("<|", "|>"), ("<｜", "｜>")]
            .iter()
            .any(|(start, end)| token.starts_with(start) && token.ends_with(end));
        let id = added["id"].as_u64().expect("an id") as usize;
        token.clone_into(&mut tokens[id]);
        types[id] = if looks || added["special"] == true {
            CONTROL
        } else {
            USER_DEFINED
        };
    }
    let merges = list(&json["model"]["merges"]).iter();
    let merges: Vec<_> = merges
        .map(|merge| merge.as_str().expect("a line"))
        .collect();
    Gguf::new("deepseek2")
        .u32("deepseek2.vocab_size", VOCABULARY as u32)
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "deepseek-v3")
        .texts("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .texts("tokenizer.ggml.merges", &merges)
        .u32("tokenizer.ggml.bos_token_id", 0)
        .u32("tokenizer.ggml.eos_token_id", 1)
}

#[test]
fn a_gguf_file_carries_the_tokenizer() {
    let json: Value = serde_json::from_slice(&file("v3")).expect("JSON");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deepseek-v3.gguf");
    std::fs::write(&path, converted(&json).bytes()).expect("room for a file");
    let carried = tokenizer_of(&open_gguf(&path));
    std::fs::remove_file(&path).expect("the file");

    let golden = golden("deepseek_tokenizers.json");
    assert_texts(&carried, &golden, "GGUF");
    let original = tokenizer("v3");
    for added in list(&json["added_tokens"]) {
        let token = added["content"].as_str().expect("a text");
        assert_eq!(carried.special(token), original.special(token), "{token}");
    }
    // A conversation of all texts, with markup between them.
    let texts = list(&golden["texts"]).iter();
    let texts: Vec<_> = texts.filter_map(|case| case["text"].as_str()).collect();
    let text = texts.join("<｜end▁of▁sentence｜><｜User｜>");
    let tokens = carried.encode_with_specials(&text).unwrap();
    assert_eq!(tokens, original.encode_with_specials(&text).unwrap());
    let markers = tokens.iter().filter(|&&token| token == 128_803).count();
    assert_eq!(markers, texts.len() - 1);
    assert_eq!(ids(&golden["texts"][0]["ids"]), tokens[..4]);
}

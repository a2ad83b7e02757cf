//! Tokenizers out of GGUF files: how they cut texts, and what is refused.

use pollster::block_on;
use serde_json::{Value, json};
use tiefsee::Result;
use tiefsee::text::Tokenizer;

use crate::files::{Files, assert_fails, failure};
use crate::gguf_file::Gguf;

/// The characters that stand for bytes, in the order of the bytes.
fn byte_letters() -> Vec<String> {
    let is_visible = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut hidden = 0x100..;
    let letter = |byte| {
        let code = if is_visible(byte) {
            byte
        } else {
            hidden.next().expect("enough")
        };
        char::from_u32(code).expect("a character").to_string()
    };
    (0..256).map(letter).collect()
}

/// A vocabulary of all bytes and `words`, each of which is merged from its start on.
fn file(pre: &str, words: &[&str]) -> Gguf {
    let letters = byte_letters();
    let mut tokens = letters.clone();
    let mut merges = Vec::new();
    for word in words {
        let parts: Vec<_> = word
            .bytes()
            .map(|byte| letters[usize::from(byte)].clone())
            .collect();
        for end in 2..=parts.len() {
            let token = parts[..end].concat();
            if !tokens.contains(&token) {
                merges.push(format!("{} {}", parts[..end - 1].concat(), parts[end - 1]));
                tokens.push(token);
            }
        }
    }
    Gguf::new("llama")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", &tokens)
        .texts("tokenizer.ggml.merges", &merges)
}

fn text(file: &Gguf, name: &str) -> Result<Value> {
    let checkpoint = Files::gguf(file.bytes()).open()?;
    let text = block_on(checkpoint.text(name))?.expect("a text");
    Ok(serde_json::from_str(&text).expect("JSON"))
}

fn tokenizer(file: &Gguf) -> Result<Tokenizer> {
    let json = text(file, "tokenizer.json")?;
    Tokenizer::from_json("x.gguf", json.to_string().as_bytes(), 4096)
}

/// The pieces that a text is cut into, if all of them are words.
fn pieces(pre: &str, words: &[&str], input: &str) -> Vec<String> {
    let tokenizer = tokenizer(&file(pre, words)).expect(pre);
    let tokens = tokenizer.encode(input).unwrap();
    let decode = |token| tokenizer.decode(&[token], tiefsee::text::Specials::Keep);
    tokens.into_iter().map(decode).collect()
}

#[test]
fn digits_stay_together_or_not() {
    for (pre, expected) in [
        ("deepseek-v3", &["123", "45"][..]),
        ("llama-bpe", &["123", "45"]),
        ("llama3", &["123", "45"]),
        ("deepseek-llm", &["1", "2", "3", "4", "5"]),
        ("deepseek-coder", &["1", "2", "3", "4", "5"]),
        ("qwen2", &["1", "2", "3", "4", "5"]),
        ("deepseek-r1-qwen", &["1", "2", "3", "4", "5"]),
        ("smollm", &["1", "2", "3", "4", "5"]),
        ("gpt-2", &["12345"]),
        ("default", &["12345"]),
    ] {
        assert_eq!(pieces(pre, &["12345", "45"], "12345"), expected, "{pre}");
    }
}

#[test]
fn apostrophes_begin_pieces() {
    let words = ["we", "'ll", "WE", "'LL", "'", "ll", "LL", "we'll", "WE'LL"];
    for (pre, expected) in [
        ("qwen2", &["we", "'ll", "WE", "'LL"][..]),
        ("llama-bpe", &["we", "'ll", "WE", "'LL"]),
        ("deepseek-v3", &["we", "'ll", "WE", "'LL"]),
        // Only small ones are known.
        ("gpt-2", &["we", "'ll", "WE", "'", "LL"]),
        ("smollm", &["we", "'ll", "WE", "'", "LL"]),
        ("deepseek-coder", &["we", "'", "ll", "WE", "'", "LL"]),
        ("deepseek-llm", &["we", "'", "ll", "WE", "'", "LL"]),
    ] {
        assert_eq!(pieces(pre, &words, "we'llWE'LL"), expected, "{pre}");
    }
}

#[test]
fn scripts_are_cut_apart() {
    let words = ["你好a", "你好", "가나", "a", "éß", "éß你好"];
    for pre in ["deepseek-v3", "deepseek-llm", "deepseek-coder"] {
        // Each expression cuts the pieces of the one before again.
        assert_eq!(pieces(pre, &words, "你好a"), ["你好", "a"], "{pre}");
    }
    assert_eq!(pieces("qwen2", &words, "你好a"), ["你好a"]);
    assert_eq!(
        pieces("deepseek-llm", &words, "éß你好가나"),
        ["éß", "你好", "가나"]
    );
    assert_eq!(pieces("deepseek-llm", &["αβ", "Я", "ﬁ", "𐐀"], "αβ"), ["αβ"]);
    // Composed for Qwen2 alone.
    assert_eq!(pieces("qwen2", &["é"], "e\u{301}"), ["é"]);
    assert_ne!(pieces("llama-bpe", &["é"], "e\u{301}"), ["é"]);
}

#[test]
fn blanks_belong_to_words() {
    for (pre, expected) in [
        ("deepseek-llm", &[" ", " a", "\n", "\n", " b", " "][..]),
        ("deepseek-v3", &[" ", " a", "\n\n", " b", " "]),
        ("qwen2", &[" ", " a", "\n\n", " b", " "]),
        ("gpt-2", &[" ", " a", "\n\n", " b", " "]),
    ] {
        let words = [" a", " b", "\n\n", "  "];
        let found = pieces(pre, &words, "  a\n\n b ");
        assert_eq!(found, expected, "{pre}");
    }
}

#[test]
fn whole_tokens_need_no_merges_for_llama() {
    let tokens: Vec<_> = byte_letters()
        .into_iter()
        .chain(["the".to_owned()])
        .collect();
    let with = |pre: &str| {
        let file = Gguf::new("llama")
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", pre)
            .texts("tokenizer.ggml.tokens", &tokens)
            .texts("tokenizer.ggml.merges", &[""; 0]);
        tokenizer(&file).unwrap().encode("the").unwrap().len()
    };
    assert_eq!((with("llama-bpe"), with("qwen2")), (1, 3));
}

/// Three more tokens than [`file`] has.
fn with_specials(bos: u32) -> Gguf {
    let mut tokens = byte_letters();
    let mut types = vec![1; 256];
    for (token, kind) in [
        ("<s>", 3),
        ("<think>", 4),
        ("[PAD1]", 5),
        ("</s>", 1),
        ("<|im_end|>", 3),
    ] {
        tokens.push(token.to_owned());
        types.push(kind);
    }
    Gguf::new("llama")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "llama-bpe")
        .texts("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .texts("tokenizer.ggml.merges", &[""; 0])
        .u32("tokenizer.ggml.bos_token_id", bos)
        .u32("tokenizer.ggml.eos_token_id", 259)
}

#[test]
fn types_of_tokens() {
    let json = text(&with_specials(256), "tokenizer.json").unwrap();
    assert_eq!(
        json["added_tokens"],
        json!([
            {"id": 256, "content": "<s>", "special": true},
            {"id": 257, "content": "<think>", "special": false},
            {"id": 259, "content": "</s>", "special": true},
            {"id": 260, "content": "<|im_end|>", "special": true},
        ])
    );
    let vocabulary = json["model"]["vocab"].as_object().unwrap();
    assert_eq!(vocabulary.len(), 256, "unused tokens are in neither");
}

#[test]
fn texts_beside_the_tokenizer() {
    let file = with_specials(256)
        .u32("tokenizer.ggml.eot_token_id", 260)
        .u32("tokenizer.ggml.padding_token_id", 259)
        .text("tokenizer.chat_template", "{{ bos_token }}")
        .f32("general.sampling.temp", 0.7)
        .u32("general.sampling.top_k", 40);
    let expected = json!({
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "add_bos_token": true,
        "chat_template": "{{ bos_token }}",
    });
    assert_eq!(text(&file, "tokenizer_config.json").unwrap(), expected);
    let expected = json!({"eos_token_id": [259, 260], "temperature": 0.7, "top_k": 40});
    assert_eq!(text(&file, "generation_config.json").unwrap(), expected);

    let file = file.bool("tokenizer.ggml.add_bos_token", false);
    let config = text(&file, "tokenizer_config.json").unwrap();
    assert_eq!(config["add_bos_token"], false);
    let bare = text(&Gguf::new("llama"), "tokenizer_config.json").unwrap();
    assert_eq!(bare, json!({"add_bos_token": false}));
}

#[test]
fn broken_tokenizers_are_damaged() {
    let base = || Gguf::new("llama").text("tokenizer.ggml.model", "gpt2");
    let tokens = |tokens: &[&str]| base().texts("tokenizer.ggml.tokens", tokens);
    let whole = |list: &[&str]| tokens(list).texts("tokenizer.ggml.merges", &[""; 0]);
    for (file, words) in [
        (base(), &["`tokenizer.ggml.tokens`", "missing"][..]),
        (tokens(&["a"]), &["`tokenizer.ggml.merges`", "missing"]),
        (
            base().u32("tokenizer.ggml.tokens", 1),
            &["`tokenizer.ggml.tokens` is 1"],
        ),
        (
            base().i32s("tokenizer.ggml.tokens", &[1]),
            &["`tokenizer.ggml.tokens`", "1 numbers"],
        ),
        (
            whole(&["a", "a"]),
            &["`tokenizer.ggml.tokens`", "\"a\" twice"],
        ),
        (
            whole(&["a"]).i32s("tokenizer.ggml.token_type", &[1, 1]),
            &["token_type`", "2 types of 1"],
        ),
        (
            whole(&["a"]).i32s("tokenizer.ggml.token_type", &[-1]),
            &["`tokenizer.ggml.token_type`"],
        ),
        (
            whole(&["a"]).u32("tokenizer.ggml.bos_token_id", 1),
            &["`tokenizer.ggml.bos_token_id` is 1"],
        ),
        (
            whole(&["a"]).text("tokenizer.ggml.pre", "tekken"),
            &["\"tekken\"", "there is deepseek-coder"],
        ),
        (
            whole(&["a"]).u32("tokenizer.ggml.pre", 1),
            &["`tokenizer.ggml.pre`"],
        ),
        (
            tokens(&["a", "b"]).texts("tokenizer.ggml.merges", &["ab"]),
            &["merge 0"],
        ),
        (
            tokens(&["a", "b"]).texts("tokenizer.ggml.merges", &["a b"]),
            &["merges"],
        ),
    ] {
        assert_fails(tokenizer(&file), 4, &[&["x.gguf"], words].concat());
    }
}

#[test]
fn other_tokenizers_are_unsupported() {
    let config = text(&with_specials(500), "tokenizer_config.json");
    assert_fails(
        config,
        4,
        &["memory/x.gguf", "`tokenizer.ggml.bos_token_id` is 500"],
    );
    let other = Gguf::new("llama").text("tokenizer.ggml.model", "llama");
    let error = failure(tokenizer(&other));
    assert!(
        matches!(error, tiefsee::Error::Unsupported { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("\"llama\""), "{error}");
}

//! The tokenizer against the reference library, and broken files.

use serde_json::Value;
use serde_json::json;
use tiefsee::Error;
use tiefsee::text::Specials;
use tiefsee::text::Tokenizer;

use crate::BOS;
use crate::EOS;
use crate::Random;
use crate::VOCABULARY;
use crate::demo_file;
use crate::demo_json;
use crate::demo_tokenizer;

const WORDS: [&str; 24] = [
    "Add",
    " the",
    "12345",
    " ",
    "\n",
    "\n\n",
    "\t",
    "don't",
    "你好",
    "，世界。",
    "カタカナ",
    "é",
    "e\u{301}",
    "🙂",
    "👩‍👩‍👧",
    "!?",
    "<think>",
    "</think>",
    "<｜User｜>",
    BOS,
    EOS,
    "<",
    "｜",
    "ø",
];

/// A change to the demo's file.
type Edit = fn(&mut Value);

fn read(json: &Value) -> tiefsee::Result<Tokenizer> {
    Tokenizer::from_json("tokenizer.json", json.to_string().as_bytes(), VOCABULARY)
}

#[test]
fn texts_come_back() {
    let tokenizer = demo_tokenizer();
    let texts = [
        "",
        "Add 12 and 30.",
        "naïve café",
        "你好，世界。",
        "🙂👩‍👩‍👧",
        " \n\t ",
        "\u{0}\u{7f}\u{ad}",
        BOS,
    ];
    for text in texts {
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&tokens, Specials::Keep), text);
        assert!(
            tokens.iter().all(|&token| token > 6),
            "{text:?} became special: {tokens:?}"
        );
    }
    assert_eq!(tokenizer.vocabulary(), VOCABULARY);
}

#[test]
fn digits_stand_alone_and_merges_apply() {
    let tokenizer = demo_tokenizer();
    assert_eq!(tokenizer.encode("193").unwrap(), [23, 31, 25]);
    let emoji = tokenizer.encode("🙂").unwrap();
    assert!(emoji.len() > 1, "the character is in several tokens");
}

#[test]
fn special_strings_are_text_unless_asked_for() {
    let tokenizer = demo_tokenizer();
    assert_eq!(tokenizer.special("<think>"), Some(5));
    assert_eq!(tokenizer.special("</think>"), Some(6));
    assert_eq!(tokenizer.special("<｜User｜>"), Some(3));
    assert_eq!(tokenizer.special("Add"), None);
    assert_eq!(tokenizer.special("<missing>"), None);

    let text = format!("{BOS}<｜User｜>7<｜Assistant｜><think>\n");
    let tokens = tokenizer.encode_with_specials(&text).unwrap();
    assert_eq!(tokens[..2], [0, 3]);
    assert_eq!(tokens[3..5], [4, 5]);
    assert_eq!(tokenizer.decode(&tokens, Specials::Keep), text);
    assert_eq!(tokenizer.decode(&tokens, Specials::Skip), "7\n");
    assert_eq!(
        tokenizer.decode(&tokens, Specials::KeepStructure),
        "7<think>\n"
    );
    assert!(tokenizer.encode(&text).unwrap().len() > tokens.len());
}

#[test]
fn unknown_ids_decode_to_nothing() {
    assert_eq!(
        demo_tokenizer().decode(&[23, 511, 4000, u32::MAX, 24], Specials::Keep)[..1],
        *"1"
    );
}

#[test]
fn agrees_with_the_reference_library() {
    let ours = demo_tokenizer();
    let reference = tokenizers::Tokenizer::from_bytes(demo_file("tokenizer.json")).unwrap();
    let mut random = Random(7);
    for _ in 0..400 {
        let text = random.text(&WORDS, 12);
        let expected = reference.encode(text.as_str(), false).unwrap();
        let tokens = ours.encode_with_specials(&text).unwrap();
        assert_eq!(tokens, expected.get_ids(), "{text:?}");
        for (specials, skip) in [(Specials::Keep, false), (Specials::Skip, true)] {
            let expected = reference.decode(&tokens, skip).unwrap();
            assert_eq!(ours.decode(&tokens, specials), expected, "{text:?}");
        }
    }
}

/// The demo's file with other kinds of added tokens; ids from 600.
fn with_added(tokens: &[(&str, bool, &str)]) -> Value {
    let mut json = demo_json();
    for (index, (content, special, flag)) in tokens.iter().enumerate() {
        let mut token = json!({"id": 600 + index, "content": content, "special": special});
        if !flag.is_empty() {
            token[*flag] = json!(true);
        }
        json["added_tokens"].as_array_mut().unwrap().push(token);
    }
    json
}

#[test]
fn added_writing_counts_everywhere_and_added_markup_only_where_asked() {
    let json = with_added(&[
        ("œ", false, ""),
        ("ab", false, ""),
        ("<|tool|>", false, ""),
        ("｜DSML｜", false, ""),
    ]);
    let tokenizer = Tokenizer::from_json("t", json.to_string().as_bytes(), 700).unwrap();
    let text = "œ ab<|tool|>｜DSML｜";
    let plain = tokenizer.encode(text).unwrap();
    assert_eq!(plain[0], 600);
    assert_eq!(
        plain.iter().filter(|&&token| token >= 600).count(),
        2,
        "{plain:?}"
    );
    let parsed = tokenizer.encode_with_specials(text).unwrap();
    assert_eq!(parsed[parsed.len() - 2..], [602, 603]);
    assert_eq!(tokenizer.decode(&plain, Specials::Skip), text);
    assert_eq!(
        tokenizer.decode(&parsed, Specials::Skip),
        text,
        "none is marked special"
    );
}

#[test]
fn added_tokens_take_spaces_and_words_as_the_reference_library_does() {
    let mut json = with_added(&[
        ("<l>", true, "lstrip"),
        ("<r>", true, "rstrip"),
        ("cat", true, "single_word"),
    ]);
    for token in json["added_tokens"].as_array_mut().unwrap() {
        for flag in ["lstrip", "rstrip", "single_word", "normalized"] {
            if token[flag].is_null() {
                token[flag] = json!(false);
            }
        }
    }
    // The reference library counts ids itself, so the new ones must follow the old ones.
    let size = json["model"]["vocab"].as_object().unwrap().len();
    for (index, token) in json["added_tokens"].as_array_mut().unwrap()[7..]
        .iter_mut()
        .enumerate()
    {
        token["id"] = json!(size + index);
    }
    let bytes = json.to_string();
    let ours = Tokenizer::from_json("t", bytes.as_bytes(), 700).unwrap();
    let reference = tokenizers::Tokenizer::from_bytes(bytes.as_bytes()).unwrap();
    let words = ["<l>", "<r>", "cat", " ", "  \n", "s", "1", "_", "é", "."];
    let mut random = Random(11);
    for _ in 0..400 {
        let text = random.text(&words, 9);
        let expected = reference.encode(text.as_str(), false).unwrap();
        assert_eq!(
            ours.encode_with_specials(&text).unwrap(),
            expected.get_ids(),
            "{text:?}"
        );
    }
}

#[test]
fn merges_may_be_written_as_lines() {
    let mut json = demo_json();
    let merges = json["model"]["merges"].as_array().unwrap();
    let lines = merges.iter().map(|pair| {
        json!(format!(
            "{} {}",
            pair[0].as_str().unwrap(),
            pair[1].as_str().unwrap()
        ))
    });
    let lines: Vec<Value> = lines.collect();
    json["model"]["merges"] = json!(lines);
    let tokenizer = read(&json).unwrap();
    let text = "Multiply the lamp by seven.";
    assert_eq!(
        tokenizer.encode(text).unwrap(),
        demo_tokenizer().encode(text).unwrap()
    );
}

#[test]
fn truncated_files_are_damaged() {
    let json = demo_file("tokenizer.json");
    for length in [0, 1, 100, 3000, json.len() / 2, json.len() - 1] {
        let error =
            Tokenizer::from_json("a/tokenizer.json", &json[..length], VOCABULARY).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { file, .. } if file == "a/tokenizer.json"),
            "{error}"
        );
    }
}

#[test]
fn broken_parts_are_damaged() {
    let edits: [(&str, Edit); 11] = [
        ("merge of an unknown piece", |json| {
            json["model"]["merges"][0] = json!(["qq", "zz"]);
        }),
        ("merge into an unknown piece", |json| {
            json["model"]["merges"][0] = json!(["!", "!"]);
        }),
        ("merge of three", |json| {
            json["model"]["merges"][0] = json!(["a", "b", "c"]);
        }),
        ("merge line of three", |json| {
            json["model"]["merges"] = json!(["a b c"]);
        }),
        ("merge line of one", |json| {
            json["model"]["merges"] = json!(["ab"]);
        }),
        ("id beyond the model", |json| {
            json["model"]["vocab"]["!"] = json!(VOCABULARY);
        }),
        ("id twice", |json| json["model"]["vocab"]["!"] = json!(8)),
        ("negative id", |json| {
            json["model"]["vocab"]["!"] = json!(-1);
        }),
        ("huge id", |json| {
            json["added_tokens"][3]["id"] = json!(u64::MAX);
        }),
        ("added id beyond the model", |json| {
            json["added_tokens"][3]["id"] = json!(9999);
        }),
        ("added id unlike vocab's", |json| {
            json["added_tokens"][3]["id"] = json!(511);
        }),
    ];
    for (name, edit) in edits {
        let mut json = demo_json();
        edit(&mut json);
        let error = read(&json).expect_err(name);
        assert!(matches!(error, Error::Damaged { .. }), "{name}: {error}");
        assert_eq!(error.exit_code(), 4, "{name}");
    }
    let pattern = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
    for (expression, is_fine) in [
        ("(", false),
        // The crate of expressions would add up and multiply such counts until they overflow.
        (r"\p[N}{18446744073709551615,3}", false),
        ("((((a{9999}){9999}){9999}){9999}){9999}", false),
        ("a{99999999999999999999}", false),
        (r"\p{N}{1,65536}", false),
        (r"\p{N}{1,3}|[\x{0800}-\x{4E00}]{2,}", true),
    ] {
        let mut json = demo_json();
        *json.pointer_mut(pattern).unwrap() = json!(expression);
        let read = read(&json);
        assert_eq!(read.is_ok(), is_fine, "{expression}");
        let is_damaged = matches!(read, Ok(_) | Err(Error::Damaged { .. }));
        assert!(is_damaged, "{expression}");
    }
}

#[test]
fn other_kinds_of_tokenizers_are_unsupported() {
    let edits: [(&str, Edit); 5] = [
        ("unigram", |json| {
            json["model"] = json!({"type": "Unigram", "vocab": [["a", 0.0]]});
        }),
        ("byte fallback", |json| {
            json["model"]["byte_fallback"] = json!(true);
        }),
        ("prefix", |json| {
            json["model"]["continuing_subword_prefix"] = json!("##é");
        }),
        ("suffix", |json| {
            json["model"]["end_of_word_suffix"] = json!("</w>");
        }),
        ("decoder", |json| {
            json["decoder"] = json!({"type": "Metaspace"});
        }),
    ];
    for (name, edit) in edits {
        let mut json = demo_json();
        edit(&mut json);
        let error = read(&json).expect_err(name);
        assert!(
            matches!(error, Error::Unsupported { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn long_texts_take_no_long_time() {
    let tokenizer = demo_tokenizer();
    for text in [
        "a".repeat(200_000),
        " ".repeat(200_000),
        "<".repeat(200_000),
        "<｜User".repeat(30_000),
    ] {
        let tokens = tokenizer.encode_with_specials(&text).unwrap();
        assert_eq!(tokenizer.decode(&tokens, Specials::Keep), text);
    }
}

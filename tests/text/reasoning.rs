//! Reasoning and content, however the text is split.

use serde_json::json;
use tiefsee::text::Opening;
use tiefsee::text::Piece;
use tiefsee::text::ReasoningSplitter;
use tiefsee::text::Tokenizer;

use crate::Random;
use crate::demo_json;
use crate::demo_tokenizer;

fn run(opening: Opening, pieces: &[&str]) -> (String, String) {
    let mut splitter = ReasoningSplitter::new(opening);
    let mut out: Vec<Piece> = pieces
        .iter()
        .flat_map(|piece| splitter.push(piece))
        .collect();
    out.extend(splitter.finish());
    assert!(splitter.finish().is_empty());
    let (mut reasoning, mut content) = (String::new(), String::new());
    for piece in out {
        match piece {
            Piece::Reasoning(text) => {
                assert!(!text.is_empty() && content.is_empty());
                reasoning.push_str(&text);
            }
            Piece::Content(text) => {
                assert!(!text.is_empty());
                content.push_str(&text);
            }
        }
    }
    (reasoning, content)
}

const CASES: [(Opening, &str, &str, &str); 20] = [
    (Opening::Reasoning, "2+2=4\n</think>\n\n4.", "2+2=4", "4."),
    (Opening::Reasoning, "a\n\nb</think>c\n", "a\n\nb", "c\n"),
    (Opening::Reasoning, "\n</think>\n\nanswer", "", "answer"),
    (Opening::Reasoning, "</think>answer", "", "answer"),
    (Opening::Reasoning, "<think>\nagain</think>x", "again", "x"),
    (Opening::Reasoning, "never ends\n", "never ends\n", ""),
    (Opening::Reasoning, "cut </thi", "cut </thi", ""),
    (
        Opening::Reasoning,
        "a </b> < </think></think>",
        "a </b> < ",
        "</think>",
    ),
    (Opening::Reasoning, "é\n🙂\n</think>\né", "é\n🙂", "é"),
    (Opening::Reasoning, "", "", ""),
    (Opening::Undecided, "<think>a</think>b", "a", "b"),
    (Opening::Undecided, "\n<think>\na\n</think>\nb", "a", "b"),
    (Opening::Undecided, "just text", "", "just text"),
    (Opening::Undecided, "  indented", "", "  indented"),
    (Opening::Undecided, "<thinking> no", "", "<thinking> no"),
    (Opening::Undecided, "<thi", "", "<thi"),
    (
        Opening::Undecided,
        "later <think>x</think>",
        "",
        "later <think>x</think>",
    ),
    (Opening::Undecided, "</think>x", "", "</think>x"),
    (
        Opening::Content,
        "<think>a</think>b",
        "",
        "<think>a</think>b",
    ),
    (Opening::Content, "\n\ntext\n", "", "\n\ntext\n"),
];

#[test]
fn cases_whole_and_split_at_random() {
    let mut random = Random(9);
    for (opening, text, reasoning, content) in CASES {
        let expected = (reasoning.to_owned(), content.to_owned());
        assert_eq!(run(opening, &[text]), expected, "{text:?}");
        for _ in 0..30 {
            let pieces = random.split(text);
            assert_eq!(run(opening, &pieces), expected, "{pieces:?}");
        }
    }
}

#[test]
fn any_text_splits_the_same_in_any_pieces() {
    let words = [
        "<think>", "</think>", "<", "</thi", "nk>", "\n", "a", " ", "é",
    ];
    let mut random = Random(21);
    for round in 0..2000 {
        let opening = [Opening::Reasoning, Opening::Undecided, Opening::Content][round % 3];
        let text = random.text(&words, 9);
        let pieces = random.split(&text);
        assert_eq!(
            run(opening, &pieces),
            run(opening, &[&text]),
            "{opening:?} {pieces:?}"
        );
    }
}

#[test]
fn text_is_given_out_as_soon_as_it_is_decided() {
    let mut splitter = ReasoningSplitter::new(Opening::Reasoning);
    assert!(splitter.in_reasoning());
    assert_eq!(splitter.push("one\n"), [Piece::Reasoning("one".into())]);
    assert_eq!(splitter.push("two </"), [Piece::Reasoning("\ntwo ".into())]);
    assert_eq!(splitter.push("think>\n"), []);
    assert!(!splitter.in_reasoning());
    assert_eq!(splitter.push("x"), [Piece::Content("x".into())]);
}

#[test]
fn only_models_with_the_markers_think() {
    let demo = demo_tokenizer();
    assert_eq!(Opening::new(&demo, true), Opening::Reasoning);
    assert_eq!(Opening::new(&demo, false), Opening::Undecided);
    let mut json = demo_json();
    json["added_tokens"]
        .as_array_mut()
        .unwrap()
        .retain(|token| token["id"] != json!(5));
    let without = Tokenizer::from_json("t", json.to_string().as_bytes(), 512).unwrap();
    assert_eq!(Opening::new(&without, false), Opening::Content);
}

//! Streamed text against decoding everything at once.

use tiefsee::text::Specials;
use tiefsee::text::TextStream;

use crate::Random;
use crate::VOCABULARY;
use crate::demo_tokenizer;

#[test]
fn pieces_join_to_the_whole_for_any_tokens() {
    let tokenizer = demo_tokenizer();
    let mut random = Random(3);
    for round in 0..300 {
        let specials = [Specials::Keep, Specials::KeepStructure, Specials::Skip][round % 3];
        // Mostly raw bytes from the byte alphabet: broken and overlong sequences of every kind.
        let bound = if round % 2 == 0 { 263 } else { VOCABULARY };
        let tokens: Vec<u32> = (0..random.below(40))
            .map(|_| random.below(bound) as u32)
            .collect();
        let mut stream = TextStream::new(tokenizer.clone(), specials);
        let mut text: String = tokens.iter().map(|&token| stream.push(token)).collect();
        text.push_str(&stream.finish());
        assert_eq!(text, tokenizer.decode(&tokens, specials), "{tokens:?}");
        assert_eq!(stream.finish(), "");
    }
}

#[test]
fn characters_come_whole() {
    let tokenizer = demo_tokenizer();
    let tokens = tokenizer.encode("a🙂b").unwrap();
    let mut stream = TextStream::new(tokenizer, Specials::Skip);
    let pieces: Vec<String> = tokens.iter().map(|&token| stream.push(token)).collect();
    assert_eq!(pieces.concat(), "a🙂b");
    assert!(
        pieces.iter().all(|piece| !piece.contains('\u{fffd}')),
        "{pieces:?}"
    );
    assert!(pieces.iter().any(String::is_empty), "{pieces:?}");
}

#[test]
fn a_character_that_never_ends_becomes_one_replacement() {
    let tokenizer = demo_tokenizer();
    let tokens = tokenizer.encode("🙂").unwrap();
    let mut stream = TextStream::new(tokenizer, Specials::Skip);
    for &token in &tokens[..tokens.len() - 1] {
        assert_eq!(stream.push(token), "");
    }
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn a_broken_character_is_given_out_when_the_next_one_begins() {
    let tokenizer = demo_tokenizer();
    let first = tokenizer.encode("你").unwrap()[0];
    let letter = tokenizer.encode("a").unwrap()[0];
    let mut stream = TextStream::new(tokenizer, Specials::Skip);
    assert_eq!(stream.push(first), "");
    assert_eq!(stream.push(letter), "\u{fffd}a");
    assert_eq!(stream.finish(), "");
}

#[test]
fn reasoning_markers_can_stay_while_other_specials_go() {
    let tokenizer = demo_tokenizer();
    let tokens = [5, 23, 6, 24, 1];
    let mut stream = TextStream::new(tokenizer, Specials::KeepStructure);
    let text: String = tokens.iter().map(|&token| stream.push(token)).collect();
    assert_eq!(text, "<think>1</think>2");
}

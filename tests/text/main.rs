//! Words to ids and back, on the bundled model's own files.

mod chat;
mod generation;
mod hostile;
mod pipeline;
mod reasoning;
mod shield;
mod stop;
mod stream;
mod tokenizer;
mod tools;

use std::sync::Arc;

use serde_json::Value;
use tiefsee::text::ChatTemplate;
use tiefsee::text::Message;
use tiefsee::text::Role;
use tiefsee::text::Tokenizer;

const BOS: &str = "<｜begin▁of▁sentence｜>";
const EOS: &str = "<｜end▁of▁sentence｜>";
const VOCABULARY: usize = 512;

/// A file of the bundled model.
fn demo_file(name: &str) -> Vec<u8> {
    let path = format!("{}/examples/demo-model/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn demo_tokenizer() -> Arc<Tokenizer> {
    let json = demo_file("tokenizer.json");
    Arc::new(Tokenizer::from_json("tokenizer.json", &json, VOCABULARY).unwrap())
}

fn demo_json() -> Value {
    serde_json::from_slice(&demo_file("tokenizer.json")).unwrap()
}

fn demo_config() -> Value {
    serde_json::from_slice(&demo_file("tokenizer_config.json")).unwrap()
}

/// A template with the demo's special tokens.
fn template(source: &str) -> ChatTemplate {
    ChatTemplate::from_config(&demo_config(), Some(source)).unwrap()
}

fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn system(content: &str) -> Message {
    message(Role::System, content)
}

fn user(content: &str) -> Message {
    message(Role::User, content)
}

fn assistant(content: &str) -> Message {
    message(Role::Assistant, content)
}

/// A small deterministic generator (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn choose<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words[self.below(words.len())]
    }

    /// Some words joined.
    fn text(&mut self, words: &[&str], most: usize) -> String {
        (0..self.below(most + 1))
            .map(|_| self.choose(words))
            .collect()
    }

    /// The text in pieces of whole characters, some of them empty.
    fn split<'t>(&mut self, mut text: &'t str) -> Vec<&'t str> {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let characters = self.below(4);
            let at = text
                .char_indices()
                .nth(characters)
                .map_or(text.len(), |(at, _)| at);
            pieces.push(&text[..at]);
            text = &text[at..];
        }
        pieces
    }
}

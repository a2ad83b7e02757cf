//! Requests and replies in the format of OpenAI's and DeepSeek's clients.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod grammars;
mod replies;
mod requests;

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tiefsee::Error;
use tiefsee::llm::{Language, open_source};
use tiefsee::openai::{Asked, ChatRequest, CompletionRequest};

/// What the bundled model reads and writes; needs no device.
fn language() -> &'static Arc<Language> {
    static LANGUAGE: OnceLock<Arc<Language>> = OnceLock::new();
    LANGUAGE.get_or_init(|| {
        let source = open_source("demo").expect("the bundled model");
        Arc::new(pollster::block_on(Language::open(&source)).expect("the bundled model"))
    })
}

fn chat(request: &Value) -> tiefsee::Result<ChatRequest> {
    ChatRequest::from_json(&request.to_string())
}

fn complete(request: &Value) -> tiefsee::Result<CompletionRequest> {
    CompletionRequest::from_json(&request.to_string())
}

/// A conversation of one question, with these fields besides.
fn question(fields: &Value) -> Value {
    let mut request = json!({ "messages": [{ "role": "user", "content": "What is 1 + 1?" }] });
    for (name, value) in fields.as_object().expect("fields") {
        request[name] = value.clone();
    }
    request
}

fn ask(request: &Value) -> tiefsee::Result<Asked> {
    chat(request)?.ask(language(), 5)
}

/// The field that an error names, and what it says of it.
fn parameter<T>(result: tiefsee::Result<T>) -> (String, String) {
    match result {
        Err(Error::Parameter { name, what }) => (name, what),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}

//! The description of the interface is true of the code.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tiefsee::server::routes;

use crate::server::SHARED;

fn document() -> Value {
    SHARED.get("/openapi.json").json()
}

#[test]
fn it_names_every_route_and_no_other() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let named = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().map(|method| (method.clone(), path.clone()))
    });
    let there = routes().map(|(method, path)| (method.to_lowercase(), path.to_owned()));
    assert_eq!(named.collect::<BTreeSet<_>>(), there.collect());
}

/// The properties of a kind of request.
fn fields(request: &str) -> Vec<String> {
    let schema = document()["components"]["schemas"][request]["properties"].take();
    let fields = schema.as_object().expect("properties");
    fields.keys().cloned().collect()
}

#[test]
fn every_field_that_it_names_is_read() {
    let chat = json!({ "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 1 });
    let text = json!({ "prompt": "Hello", "max_tokens": 1 });
    for (kind, path, request) in [
        ("ChatRequest", "/chat/completions", chat),
        ("CompletionRequest", "/completions", text),
        ("TokenizeRequest", "/tokenize", json!({ "prompt": "Hello" })),
        ("DetokenizeRequest", "/detokenize", json!({ "tokens": [1] })),
    ] {
        assert_eq!(SHARED.post(path, &request).status, 200, "{path}");
        for field in fields(kind) {
            let nonsense = [json!("nonsense?"), json!({ "non": "sense" }), json!(-0.5)];
            let is_noticed = |value: Value| {
                let mut request = request.clone();
                request[&field] = value;
                let reply = SHARED.post(path, &request);
                let param = reply.json()["error"]["param"].take();
                reply.status == 400 && param.as_str().is_some_and(|it| it.starts_with(&field))
            };
            assert!(
                nonsense.into_iter().any(is_noticed),
                "{kind}.{field} is not read"
            );
        }
    }
}

#[test]
fn every_field_that_is_read_is_named() {
    let kinds = [
        "ChatRequest",
        "CompletionRequest",
        "TokenizeRequest",
        "DetokenizeRequest",
    ];
    let named: BTreeSet<_> = kinds.into_iter().flat_map(fields).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/openai");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("a text");
        for read in ["fields.get", "fields.need", "fields.number"] {
            for rest in text.split(read).skip(1) {
                // A type may stand between the call and the name.
                let Some((_, name)) = rest
                    .split_once("(\"")
                    .filter(|(kind, _)| !kind.contains('('))
                else {
                    continue;
                };
                let name = name.split('"').next().unwrap_or_default();
                assert!(named.contains(name), "{name} is read, but nothing says so");
                count += 1;
            }
        }
    }
    assert!(count > 15, "only {count} fields are found");
}

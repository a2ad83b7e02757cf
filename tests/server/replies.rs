//! What clients get for what they may ask.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::server::{CONTEXT, SHARED, joined, question};

#[test]
fn a_stream_joined_is_the_whole_reply() {
    for path in [
        "/chat/completions",
        "/v1/chat/completions",
        "/beta/chat/completions",
    ] {
        let mut request = question("What is 27 + 48?");
        let whole = SHARED.post(path, &request).json();
        assert_eq!(whole["object"], "chat.completion");
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"], "The answer is 75.");
        request["stream"] = json!(true);
        request["stream_options"] = json!({ "include_usage": true });
        let events = SHARED.post(path, &request).events();
        assert_eq!(message["content"], joined(&events, "content").as_str());
        assert_eq!(
            message["reasoning_content"],
            joined(&events, "reasoning_content").as_str()
        );
        let (usage, events) = events.split_last().expect("events");
        assert_eq!(
            usage["usage"]["total_tokens"],
            whole["usage"]["total_tokens"]
        );
        let last = &events.last().expect("events")["choices"][0];
        assert_eq!(last["finish_reason"], whole["choices"][0]["finish_reason"]);
        assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    }
}

#[test]
fn texts_are_continued() {
    let request = json!({ "prompt": "What is", "max_tokens": 8, "temperature": 0 });
    let whole = SHARED.post("/v1/completions", &request).json();
    assert_eq!(whole["object"], "text_completion");
    let mut streamed = request.clone();
    streamed["stream"] = json!(true);
    let events = SHARED.post("/completions", &streamed).events();
    let texts = events
        .iter()
        .map(|event| event["choices"][0]["text"].as_str().expect("a text"));
    assert_eq!(
        whole["choices"][0]["text"],
        texts.collect::<String>().as_str()
    );
}

#[test]
fn the_model_is_named() {
    let list = SHARED.get("/v1/models").json();
    assert_eq!(list["object"], "list");
    let model = &list["data"][0];
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!("demo"), &json!("model"))
    );
    let meta = &model["meta"];
    assert_eq!(
        (&meta["n_ctx"], &meta["format"]),
        (&json!(CONTEXT), &json!("bf16"))
    );
    assert!(meta["n_params"].as_u64() > Some(1_000_000), "{meta}");
    // The file is read meanwhile.
    let weights = include_bytes!("../../examples/demo-model/model.safetensors");
    let hash = Sha256::digest(weights)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let begun = Instant::now();
    while SHARED.get("/v1/models/demo").json()["meta"]["sha256"] != hash.as_str() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no hash");
        thread::sleep(Duration::from_millis(20));
    }
    let one = SHARED.get("/models/demo").json();
    assert_eq!(one, SHARED.get("/v1/models").json()["data"][0]);
    let error = SHARED.get("/v1/models/gpt-4").error(404);
    assert_eq!(error["code"], "model_not_found");
    let mut request = question("What is 2 + 2?");
    request["model"] = json!("gpt-4");
    let error = SHARED.post("/v1/chat/completions", &request).error(404);
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("model_not_found"), &json!("model"))
    );
}

#[test]
fn it_says_how_it_is() {
    assert_eq!(SHARED.get("/health").status, 200);
    assert_eq!(SHARED.get("/v1/ready").status, 200);
    let version = SHARED.get("/version").json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn wrong_places_and_methods_are_refused() {
    assert_eq!(SHARED.get("/v1/engines").error(404)["code"], "not_found");
    let error = SHARED.get("/v1/chat/completions").error(405);
    assert_eq!(error["code"], "method_not_allowed");
}

#[test]
fn a_prompt_is_never_cut() {
    let request = question(&"What is 2 + 2? ".repeat(CONTEXT / 4));
    let error = SHARED.post("/v1/chat/completions", &request).error(400);
    assert_eq!(error["code"], "context_length_exceeded");
    assert_eq!(error["type"], "invalid_request_error");
}

#[test]
fn every_file_of_the_page_is_served() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/page");
    let names = std::fs::read_dir(root).expect("a folder").map(|entry| {
        let name = entry.expect("a file").file_name();
        name.into_string().expect("a name")
    });
    let mut count = 0;
    for name in names.filter(|name| name != "package.json") {
        let path = if name == "index.html" {
            "/".to_owned()
        } else {
            format!("/page/{name}")
        };
        let reply = SHARED.get(&path);
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply
                .headers
                .contains("content-security-policy: default-src 'none'; script-src 'self'")
        );
        assert!(reply.headers.contains("x-content-type-options: nosniff"));
        let file = std::fs::read_to_string(format!("{root}/{name}")).expect("a text");
        assert_eq!(reply.body, file, "{path}");
        let kind = match name.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            _ => "text/html",
        };
        assert!(
            reply.headers.contains(&format!("content-type: {kind}")),
            "{path}"
        );
        count += 1;
    }
    assert!(count > 10);
}

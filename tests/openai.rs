//! Requests and replies in the format of OpenAI's and DeepSeek's clients.

use serde_json::{Value, json};
use tiefsee::engine::{FinishReason, TokenRoutes};
use tiefsee::llm::{Timings, Usage};
use tiefsee::openai::{ChatRequest, CompletionRequest, Reply, ReplyKind, refusal};
use tiefsee::{Completion, Error, Llm, LoadOptions, Role, Update};
use web_time::Duration;

mod common;

fn chat(request: &Value) -> tiefsee::Result<ChatRequest> {
    ChatRequest::from_json(&request.to_string())
}

/// The field that a refused request's error names, and what it says of it.
fn parameter(request: &Value) -> (String, String) {
    match chat(request) {
        Err(Error::Parameter { name, what }) => (name, what),
        other => panic!("{request}: {other:?}"),
    }
}

#[test]
fn messages_are_texts_or_parts_that_are_texts() {
    let request = json!({ "messages": [
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": "c", "tool_calls": [] },
    ] });
    let messages = chat(&request).expect("a request").messages;
    let said: Vec<_> = messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Role::System, "Be brief."),
            (Role::User, "ab"),
            (Role::Assistant, "c")
        ]
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    for (field, value) in [
        ("temperature", json!("hot")),
        ("top_k", json!(-1)),
        ("seed", json!(0.5)),
        ("stop", json!(7)),
        ("stop", json!(vec!["a"; 17])),
        ("max_tokens", json!(0)),
        ("max_completion_tokens", json!("many")),
        ("stream_options", json!(7)),
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("logit_bias", json!({ "1": 2 })),
        ("presence_penalty", json!(0.5)),
        ("tools", json!([{}])),
        ("tool_choice", json!("required")),
        ("response_format", json!({ "type": "json_object" })),
    ] {
        let mut request = json!({ "messages": messages });
        request[field] = value;
        assert_eq!(parameter(&request).0, field);
    }
    for (messages, name) in [
        (json!(null), "messages"),
        (json!([]), "messages"),
        (
            json!([{ "role": "king", "content": "" }]),
            "messages[0].role",
        ),
        (json!([{ "role": "user" }]), "messages[0].content"),
        (
            json!([{ "role": "user", "content": [{ "type": "image_url" }] }]),
            "messages[0].content",
        ),
        (
            json!([{ "role": "assistant", "content": "", "prefix": true }]),
            "messages[0].prefix",
        ),
    ] {
        assert_eq!(parameter(&json!({ "messages": messages })).0, name);
    }
    for text in ["", "[]", "{", "null"] {
        assert!(matches!(ChatRequest::from_json(text), Err(Error::Usage(_))));
        assert!(matches!(
            CompletionRequest::from_json(text),
            Err(Error::Usage(_))
        ));
    }
}

#[test]
fn what_means_nothing_is_accepted() {
    let request = json!({
        "messages": [{ "role": "user", "content": "Hello" }], "model": "any", "user": "me", "n": 1,
        "logprobs": false, "logit_bias": {}, "tools": [], "tool_choice": "auto", "stop": null,
        "response_format": { "type": "text" }, "temperature": null, "frequency_penalty": 0,
    });
    let settings = chat(&request).expect("a request").settings;
    assert!(!settings.stream && !settings.include_usage);
}

#[test]
fn settings_lie_over_the_checkpoints() {
    let options = LoadOptions {
        device: common::options(),
        context: Some(256),
        ..LoadOptions::default()
    };
    let llm = pollster::block_on(Llm::load("demo", options)).expect("the bundled model");
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let plain = chat(&json!({ "messages": messages })).expect("a request");
    let (plain, defaults) = (plain.settings.options(&llm, 5), llm.defaults(5));
    assert_eq!(plain.sampling, defaults.sampling);
    assert_eq!(plain.max_tokens, defaults.max_tokens);
    let request = json!({
        "messages": messages, "temperature": 0.25, "top_p": 0.5, "top_k": 3, "min_p": 0.125,
        "repetition_penalty": 1.5, "seed": -1, "max_tokens": 9, "max_completion_tokens": 8, "stop": "x",
        "experts": true, "stream": true, "stream_options": { "include_usage": true },
    });
    let settings = chat(&request).expect("a request").settings;
    assert!(settings.stream && settings.include_usage);
    let options = settings.options(&llm, 5);
    let sampling = &options.sampling;
    assert_eq!(
        (sampling.temperature, sampling.top_p, sampling.min_p),
        (0.25, 0.5, 0.125)
    );
    assert_eq!(
        (sampling.top_k, sampling.repetition_penalty, sampling.seed),
        (3, 1.5, u64::MAX)
    );
    assert_eq!(
        (options.max_tokens, options.stop.as_slice()),
        (Some(8), &["x".to_owned()][..])
    );
    assert!(options.routes);

    for (prompt, length) in [(json!("27"), 2), (json!(["27"]), 2), (json!([1, 2, 3]), 3)] {
        let request = json!({ "prompt": prompt }).to_string();
        let request = CompletionRequest::from_json(&request).expect("a request");
        let tokens = request.prompt(&llm).expect("a prompt").tokens;
        assert!(tokens.len() >= length, "{prompt}: {tokens:?}");
    }
}

fn completion() -> Completion {
    Completion {
        text: "why</think>so".into(),
        reasoning: "why".into(),
        content: "so".into(),
        tokens: vec![4, 5, 6],
        finish_reason: FinishReason::Stop,
        usage: Usage {
            prompt_tokens: 10,
            cached_tokens: 4,
            completion_tokens: 3,
            reasoning_tokens: 2,
        },
        timings: Timings {
            prefill: Duration::from_millis(500),
            decode: Duration::from_millis(250),
        },
    }
}

fn reply(kind: ReplyKind, include_usage: bool) -> Reply {
    Reply {
        kind,
        id: "reply-1".into(),
        created: 17,
        model: "demo".into(),
        include_usage,
    }
}

#[test]
fn chunks_are_what_clients_parse() {
    let reply = reply(ReplyKind::Chat, true);
    let updates = [
        Update::Text("why</think>so".into()),
        Update::Reasoning("why".into()),
        Update::Content("so".into()),
        Update::Routes(TokenRoutes {
            position: 7,
            tokens: 2,
            layers: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8]],
        }),
        Update::Done(completion()),
    ];
    let opening = reply.opening().into_iter();
    let chunks: Vec<_> = opening
        .chain(updates.iter().flat_map(|update| reply.chunks(update)))
        .collect();
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], "reply-1");
        assert_eq!(chunk["created"], 17);
    }
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(*deltas[0], json!({ "role": "assistant", "content": "" }));
    assert_eq!(*deltas[1], json!({ "reasoning_content": "why" }));
    assert_eq!(*deltas[2], json!({ "content": "so" }));
    let experts = json!({ "position": 7, "layers": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]] });
    assert_eq!(
        (&chunks[3]["choices"], &chunks[3]["experts"]),
        (&json!([]), &experts)
    );
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[4]["usage"], Value::Null);
    assert_eq!(chunks[5]["choices"], json!([]));
    assert_eq!(chunks[5]["usage"]["total_tokens"], 13);
    assert_eq!(chunks.len(), 6);
}

#[test]
fn whole_replies_are_what_clients_parse() {
    let whole = reply(ReplyKind::Chat, false).whole(&completion());
    assert_eq!(whole["object"], "chat.completion");
    let message = json!({ "role": "assistant", "content": "so", "reasoning_content": "why" });
    assert_eq!(whole["choices"][0]["message"], message);
    let usage = &whole["usage"];
    assert_eq!(usage["prompt_cache_hit_tokens"], 4);
    assert_eq!(usage["prompt_cache_miss_tokens"], 6);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 2);
    assert_eq!(whole["timings"]["prefill_tokens_per_second"], 12.0);
    assert_eq!(whole["timings"]["decode_tokens_per_second"], 8.0);

    let reply = reply(ReplyKind::Text, false);
    assert_eq!(
        reply.whole(&completion())["choices"][0]["text"],
        "why</think>so"
    );
    assert_eq!(reply.opening(), None);
    let text = reply.chunks(&Update::Text("why".into()));
    assert_eq!(text[0]["choices"][0]["text"], "why");
    assert_eq!(
        reply.chunks(&Update::Content("so".into())),
        [Value::Null; 0]
    );
    assert_eq!(reply.chunks(&Update::Done(completion())).len(), 1);
}

#[test]
fn refusals_name_the_field() {
    let error = chat(&json!({ "messages": [] })).expect_err("no messages");
    let refused = &refusal(&error)["error"];
    assert_eq!(refused["type"], "invalid_request_error");
    assert_eq!(refused["param"], "messages");
    assert_eq!(refused["message"], "`messages` is empty");
    let long = Error::ContextExceeded {
        prompt: 9,
        context: 8,
    };
    assert_eq!(refusal(&long)["error"]["code"], "context_length_exceeded");
    let lost = refusal(&Error::DeviceLost("gone".into()));
    assert_eq!(lost["error"]["type"], "server_error");
}

//! What clients get.

use serde_json::{Value, json};
use tiefsee::engine::{FinishReason, TokenLogprobs, TokenRoutes};
use tiefsee::llm::{ScoredToken, Timings, Usage};
use tiefsee::openai::Reply;
use tiefsee::text::ToolCall;
use tiefsee::{Completion, Update};
use web_time::Duration;

use crate::{ask, complete, language, question};

fn completion() -> Completion {
    Completion {
        text: "why</think>so".into(),
        reasoning: "why".into(),
        content: "so".into(),
        tool_calls: Vec::new(),
        prompt_logprobs: Vec::new(),
        logprobs: Vec::new(),
        tokens: vec![4, 5, 6],
        finish_reason: FinishReason::Stop,
        usage: Usage {
            prompt_tokens: 10,
            cached_tokens: 4,
            completion_tokens: 3,
            reasoning_tokens: 2,
            guessed_tokens: 0,
        },
        timings: Timings {
            prefill: Duration::from_millis(500),
            decode: Duration::from_millis(250),
        },
    }
}

fn chat_reply(fields: &Value) -> Reply {
    let asked = ask(&question(fields)).expect("a request");
    asked.reply(language(), "1", 17, "demo")
}

fn text_reply(fields: &Value) -> Reply {
    let asked = complete(fields).expect("a request").ask(language(), 5);
    asked.expect("a prompt").reply(language(), "1", 17, "demo")
}

fn called() -> ToolCall {
    ToolCall {
        id: String::new(),
        name: "look".into(),
        arguments: "{\"q\":1}".into(),
    }
}

/// `ids` of the bundled vocabulary, the first with a certain probability beside another's.
fn scored(ids: &[u32], reasoning: bool) -> Vec<ScoredToken> {
    let token = |&token: &u32| ScoredToken {
        token,
        reasoning,
        logprobs: Some(TokenLogprobs {
            logprob: -0.5,
            best: vec![(token, -0.5), (7, f64::NEG_INFINITY)],
        }),
    };
    ids.iter().map(token).collect()
}

#[test]
fn streams_are_what_clients_parse() {
    let mut reply = chat_reply(&json!({ "stream_options": { "include_usage": true } }));
    let opening = reply.opening();
    let delta = json!({ "role": "assistant", "content": "" });
    assert_eq!(opening[0]["choices"][0]["delta"], delta);
    assert_eq!(opening[0]["id"], "chatcmpl-1");
    assert!(opening[0]["system_fingerprint"].is_string());
    let routes = TokenRoutes {
        position: 3,
        tokens: 2,
        layers: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8]],
    };
    let updates = [
        Update::Text("why".into()),
        Update::Reasoning("why".into()),
        Update::Content("so".into()),
        Update::ToolCall(called()),
        Update::ToolCall(called()),
        Update::Routes(routes),
        Update::Done(Completion {
            tool_calls: vec![called()],
            ..completion()
        }),
    ];
    let chunks: Vec<_> = updates
        .iter()
        .flat_map(|update| reply.chunks(0, update))
        .collect();
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["usage"], Value::Null);
    }
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(*deltas[0], json!({ "reasoning_content": "why" }));
    assert_eq!(*deltas[1], json!({ "content": "so" }));
    let call = |index: usize| {
        let function = json!({ "name": "look", "arguments": "{\"q\":1}" });
        json!({ "id": format!("call-chatcmpl-1-0-{index}"), "type": "function", "function": function, "index": index })
    };
    assert_eq!(*deltas[2], json!({ "tool_calls": [call(0)] }));
    assert_eq!(*deltas[3], json!({ "tool_calls": [call(1)] }));
    let experts = json!({ "position": 3, "layers": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]] });
    assert_eq!(
        (&chunks[4]["choices"], &chunks[4]["experts"]),
        (&json!([]), &experts)
    );
    assert_eq!(chunks[5]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks.len(), 6);
    let closing = reply.closing(&[completion().usage]).expect("counts");
    assert_eq!(closing["choices"], json!([]));
    assert_eq!(closing["usage"]["total_tokens"], 13);
    assert!(
        chat_reply(&json!({}))
            .closing(&[completion().usage])
            .is_none()
    );
}

#[test]
fn whole_replies_are_what_clients_parse() {
    let whole = chat_reply(&json!({})).whole(&[completion()]);
    assert_eq!(whole["object"], "chat.completion");
    let message = json!({ "role": "assistant", "content": "so", "reasoning_content": "why" });
    assert_eq!(whole["choices"][0]["message"], message);
    assert_eq!(whole["choices"][0]["logprobs"], Value::Null);
    let usage = &whole["usage"];
    assert_eq!(usage["prompt_cache_hit_tokens"], 4);
    assert_eq!(usage["prompt_cache_miss_tokens"], 6);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 2);
    assert_eq!(whole["timings"]["prefill_tokens_per_second"], 12.0);
    assert_eq!(whole["timings"]["decode_tokens_per_second"], 8.0);

    let calling = Completion {
        content: String::new(),
        tool_calls: vec![called()],
        ..completion()
    };
    let whole = chat_reply(&json!({})).whole(&[calling]);
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["name"],
        "look"
    );

    let mut reply = text_reply(&json!({ "prompt": "27" }));
    assert_eq!(
        reply.whole(&[completion()])["choices"][0]["text"],
        "why</think>so"
    );
    assert!(reply.opening().is_empty());
    let text = reply.chunks(0, &Update::Text("why".into()));
    assert_eq!(text[0]["choices"][0]["text"], "why");
    assert!(reply.chunks(0, &Update::Content("so".into())).is_empty());
    assert_eq!(reply.chunks(0, &Update::Done(completion())).len(), 1);
}

#[test]
fn several_choices_have_their_numbers_and_count_a_prompt_once() {
    let whole = chat_reply(&json!({ "n": 2 })).whole(&[completion(), completion()]);
    assert_eq!(whole["choices"][1]["index"], 1);
    let usage = &whole["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(10), &json!(6))
    );
    let mut reply = text_reply(&json!({ "prompt": ["a", "b"], "n": 2, "echo": true }));
    let openings = reply.opening();
    let echoes: Vec<_> = openings
        .iter()
        .map(|chunk| &chunk["choices"][0]["text"])
        .collect();
    assert_eq!(echoes, ["a", "a", "b", "b"]);
    assert_eq!(openings[3]["choices"][0]["index"], 3);
    let chunk = &reply.chunks(2, &Update::Text("c".into()))[0];
    assert_eq!(chunk["choices"][0]["index"], 2);
    let whole = reply.whole(&vec![completion(); 4]);
    assert_eq!(whole["usage"]["prompt_tokens"], 20);
    assert_eq!(whole["choices"][2]["text"], "bwhy</think>so");
}

#[test]
fn conversations_have_the_probabilities_of_both_parts() {
    let thought = scored(&[52], true);
    let said = scored(&[101], false);
    let reply = chat_reply(&json!({ "logprobs": true }));
    let whole = reply.clone().whole(&[Completion {
        logprobs: [thought.clone(), said.clone()].concat(),
        ..completion()
    }]);
    let logprobs = &whole["choices"][0]["logprobs"];
    let entry = &logprobs["content"][0];
    assert_eq!(entry["logprob"], -0.5);
    assert_eq!(
        entry["bytes"],
        json!(language().tokenizer().token_bytes(101))
    );
    assert_eq!(entry["top_logprobs"][1]["logprob"], -9999.0);
    assert_eq!(entry["top_logprobs"][0]["token"], entry["token"]);
    assert_eq!(
        logprobs["reasoning_content"].as_array().map(Vec::len),
        Some(1)
    );
    let mut reply = reply;
    let chunk = &reply.chunks(0, &Update::Tokens(said))[0]["choices"][0];
    assert_eq!(chunk["logprobs"]["content"][0], *entry);
    assert_eq!(chunk["logprobs"]["reasoning_content"], Value::Null);
}

#[test]
fn texts_have_the_probabilities_of_the_prompt_too() {
    let ids = language().tokenizer().encode("né").expect("ids");
    assert_eq!(ids.len(), 3, "the second character is two tokens");
    let mut prompt = scored(&ids, false);
    prompt[0].logprobs = None;
    let said = scored(&[39], false);
    let mut reply = text_reply(&json!({ "prompt": "né", "echo": true, "logprobs": 2 }));
    let whole = reply.whole(&[Completion {
        prompt_logprobs: prompt.clone(),
        logprobs: said.clone(),
        ..completion()
    }]);
    let logprobs = &whole["choices"][0]["logprobs"];
    assert_eq!(logprobs["text_offset"], json!([0, 1, 2, 2]));
    assert_eq!(logprobs["token_logprobs"], json!([null, -0.5, -0.5, -0.5]));
    assert_eq!(logprobs["top_logprobs"][0], Value::Null);
    assert_eq!(
        logprobs["tokens"],
        json!(["n", "bytes:\\xc3", "bytes:\\xa9", "A"])
    );
    assert_eq!(logprobs["top_logprobs"][3]["A"], -0.5);
    let mut streamed = Vec::new();
    for update in [Update::Prompt(prompt), Update::Tokens(said)] {
        let chunk = reply.chunks(0, &update).remove(0);
        streamed.extend(
            chunk["choices"][0]["logprobs"]["text_offset"]
                .as_array()
                .expect("offsets")
                .clone(),
        );
    }
    assert_eq!(json!(streamed), logprobs["text_offset"]);
}

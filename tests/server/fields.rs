//! What requests may ask for beyond a question: choices, tools, schemas, words and ids.

use serde_json::{Value, json};

use crate::server::{SHARED, question};

#[test]
fn several_choices_come_in_one_reply() {
    let mut request = question("What is 27 + 48?");
    request["n"] = json!(3);
    request["temperature"] = json!(0);
    let whole = SHARED.post("/v1/chat/completions", &request).json();
    let choices = whole["choices"].as_array().expect("choices");
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"], choices[0]["message"], "greedy");
    }
    assert_eq!(choices.len(), 3);
    request["stream"] = json!(true);
    let events = SHARED.post("/v1/chat/completions", &request).events();
    for (index, choice) in choices.iter().enumerate() {
        let deltas = events.iter().map(|event| &event["choices"][0]);
        let deltas = deltas.filter(|choice| choice["index"] == index);
        let text: String = deltas
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect();
        assert_eq!(choice["message"]["content"], text.as_str());
    }
}

#[test]
fn a_wanted_tool_is_called() {
    let parameters = json!({ "type": "object", "properties": { "side": { "enum": ["left", "right"] } },
        "required": ["side"], "additionalProperties": false });
    let tool =
        json!({ "type": "function", "function": { "name": "turn", "parameters": parameters } });
    let mut request = question("Where to?");
    request["tools"] = json!([tool]);
    request["tool_choice"] = json!({ "type": "function", "function": { "name": "turn" } });
    request["thinking"] = json!({ "type": "disabled" });
    request["stream"] = json!(true);
    let events = SHARED.post("/v1/chat/completions", &request).events();
    let calls = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0].as_object());
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), 1, "{events:?}");
    assert_eq!(
        (&calls[0]["index"], &calls[0]["type"]),
        (&json!(0), &json!("function"))
    );
    let function = &calls[0]["function"];
    assert_eq!(function["name"], "turn");
    let arguments: Value = (function["arguments"].as_str().expect("a text").parse()).expect("JSON");
    assert!(["left", "right"].contains(&arguments["side"].as_str().expect("a text")));
    let last = &events.last().expect("events")["choices"][0];
    assert_eq!(last["finish_reason"], "tool_calls");
}

#[test]
fn a_schema_that_cannot_be_enforced_is_refused_at_once() {
    let mut request = question("What is 27 + 48?");
    let schema = json!({ "type": "king" });
    request["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    request["stream"] = json!(true);
    let refused = SHARED.post("/v1/chat/completions", &request);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["param"], "response_format");
}

#[test]
fn words_become_ids_and_conversations_prompts() {
    let tokens = SHARED
        .post("/tokenize", &json!({ "prompt": "What is 27?" }))
        .json();
    let ids = json!({ "tokens": tokens["tokens"] });
    let text = SHARED.post("/v1/detokenize", &ids).json();
    assert_eq!(text["prompt"], "What is 27?");
    let prompt = SHARED
        .post("/apply-template", &question("What is 27?"))
        .json();
    let prompt = prompt["prompt"].as_str().expect("a text");
    assert!(
        prompt.ends_with("What is 27?<｜Assistant｜><think>\n"),
        "{prompt}"
    );
    assert_eq!(SHARED.get("/tokenizer_info").json()["vocab_size"], 512);
}

//! Requests answered by the bundled model: what is streamed is what comes whole.

use futures::StreamExt;
use futures::pin_mut;
use serde_json::{Value, json};
use tiefsee::openai::Asked;
use tiefsee::{Completion, Llm, LoadOptions, Update};

use crate::{chat, common, complete, question};

fn load() -> Llm {
    let options = LoadOptions {
        device: common::options(),
        context: Some(1024),
        ..LoadOptions::default()
    };
    pollster::block_on(Llm::load("demo", options)).expect("the bundled model")
}

/// The chunks and the whole reply of the same answers.
fn answer(llm: &mut Llm, asked: &Asked) -> (Vec<Value>, Value) {
    let language = llm.language().clone();
    let mut reply = asked.reply(&language, "1", 17, "demo");
    let mut chunks = reply.opening();
    let mut completions: Vec<Completion> = Vec::new();
    for (choice, (prompt, options)) in asked.answers.iter().enumerate() {
        let updates = llm.generate(prompt, options).expect("an answer");
        pin_mut!(updates);
        while let Some(update) = pollster::block_on(updates.next()) {
            let update = update.expect("an update");
            chunks.extend(reply.chunks(choice, &update));
            if let Update::Done(completion) = update {
                completions.push(completion);
            }
        }
    }
    (chunks, reply.whole(&completions))
}

/// What the chunks of a choice say in one of their fields, joined.
fn joined(chunks: &[Value], choice: usize, field: &str) -> String {
    let choices = chunks.iter().map(|chunk| &chunk["choices"][0]);
    let choices = choices.filter(|it| it["index"] == choice);
    let parts = choices.filter_map(|it| it["delta"][field].as_str().or(it[field].as_str()));
    parts.collect()
}

fn asked_chat(llm: &Llm, fields: &Value) -> Asked {
    let request = chat(&question(fields)).expect("a request");
    request.ask(llm.language(), 5).expect("a prompt")
}

fn asked_text(llm: &Llm, fields: &Value) -> Asked {
    let request = complete(fields).expect("a request");
    request.ask(llm.language(), 5).expect("a prompt")
}

#[test]
fn streams_say_what_whole_replies_say() {
    let mut llm = load();
    let asked = asked_chat(
        &llm,
        &json!({ "n": 2, "temperature": 1.0, "logprobs": true, "top_logprobs": 2, "max_tokens": 120 }),
    );
    let (chunks, whole) = answer(&mut llm, &asked);
    for choice in 0..2 {
        let said = &whole["choices"][choice];
        let message = &said["message"];
        let reasoning = message["reasoning_content"].as_str().unwrap_or_default();
        assert_eq!(joined(&chunks, choice, "reasoning_content"), reasoning);
        assert_eq!(
            joined(&chunks, choice, "content"),
            message["content"].as_str().unwrap_or_default()
        );
        let count = |part: &str| said["logprobs"][part].as_array().map_or(0, Vec::len);
        let streamed = |part: &str| {
            let lists = chunks
                .iter()
                .filter(|it| it["choices"][0]["index"] == choice);
            let lists = lists.filter_map(|it| it["choices"][0]["logprobs"][part].as_array());
            lists.map(Vec::len).sum::<usize>()
        };
        assert!(count("reasoning_content") > 0);
        for part in ["content", "reasoning_content"] {
            assert_eq!(streamed(part), count(part), "{part}");
        }
    }
}

#[test]
fn harnesses_get_the_probabilities_of_prompts() {
    let mut llm = load();
    let request =
        json!({ "prompt": "What is 12 + 5?", "echo": true, "logprobs": 1, "temperature": 0 });
    let with = |most: usize| {
        let mut request = request.clone();
        request["max_tokens"] = json!(most);
        request
    };
    let asked = asked_text(&llm, &with(1));
    let prompt = asked.answers[0].0.tokens.len();
    let (chunks, one) = answer(&mut llm, &asked);
    let choice = &one["choices"][0];
    let text = choice["text"].as_str().expect("a text");
    assert!(text.starts_with("What is 12 + 5?"), "{text}");
    assert_eq!(joined(&chunks, 0, "text"), text);
    let logprobs = choice["logprobs"]["token_logprobs"]
        .as_array()
        .expect("numbers");
    assert_eq!(logprobs.len(), prompt + 1);
    assert!(logprobs[0].is_null());
    let last = &choice["logprobs"]["top_logprobs"][prompt];
    let best = last
        .as_object()
        .expect("the best")
        .values()
        .next()
        .expect("a number");
    assert_eq!(best, &logprobs[prompt], "the greedy token is the best one");

    let asked = asked_text(&llm, &with(0));
    let (_, none) = answer(&mut llm, &asked);
    let choice = &none["choices"][0];
    assert_eq!(choice["text"], "What is 12 + 5?");
    assert_eq!(choice["finish_reason"], "length");
    let alone = choice["logprobs"]["token_logprobs"]
        .as_array()
        .expect("numbers");
    assert_eq!(alone.len(), prompt);
    for (alone, beside) in alone.iter().zip(logprobs).skip(1) {
        let gap = alone.as_f64().expect("a number") - beside.as_f64().expect("a number");
        assert!(gap.abs() < 1e-4, "{gap}");
    }
}

#[test]
fn a_tool_that_must_be_called_is_called() {
    let mut llm = load();
    let tool = json!({ "type": "function", "function": { "name": "paint", "parameters": {
        "type": "object", "properties": { "colour": { "enum": ["red", "blue"] }, "twice": { "type": "boolean" } },
        "required": ["colour", "twice"], "additionalProperties": false,
    } } });
    for choice in [
        json!("required"),
        json!({ "type": "function", "function": { "name": "paint" } }),
    ] {
        let fields =
            json!({ "tools": [tool], "tool_choice": choice, "parallel_tool_calls": false });
        let asked = asked_chat(&llm, &fields);
        let (chunks, whole) = answer(&mut llm, &asked);
        let said = &whole["choices"][0];
        assert_eq!(said["finish_reason"], "tool_calls", "{whole}");
        let call = &said["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], "paint");
        let arguments: Value = call["arguments"]
            .as_str()
            .expect("a text")
            .parse()
            .expect("JSON");
        assert!(["red", "blue"].contains(&arguments["colour"].as_str().expect("a text")));
        assert!(arguments["twice"].is_boolean());
        let streamed = chunks
            .iter()
            .find(|it| it["choices"][0]["delta"]["tool_calls"].is_array());
        let streamed = &streamed.expect("a call")["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(streamed["function"], *call);
    }
}

#[test]
fn json_comes_after_the_thinking() {
    let mut llm = load();
    let schema = json!({ "type": "object", "properties": { "sum": { "type": "integer", "minimum": 0, "maximum": 99 } },
        "required": ["sum"], "additionalProperties": false });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "sum", "strict": true, "schema": schema } });
    for thinking in ["enabled", "disabled"] {
        let fields = json!({ "response_format": format, "thinking": { "type": thinking } });
        let (_, whole) = {
            let asked = asked_chat(&llm, &fields);
            answer(&mut llm, &asked)
        };
        let message = &whole["choices"][0]["message"];
        let content: Value = message["content"]
            .as_str()
            .expect("a text")
            .parse()
            .expect("JSON");
        assert!(content["sum"].is_u64(), "{message}");
        assert_eq!(
            message["reasoning_content"].is_string(),
            thinking == "enabled"
        );
    }
}

#[test]
fn thinking_ends_within_its_budget() {
    let mut llm = load();
    let thinking = json!({ "type": "enabled", "budget_tokens": 3 });
    let asked = asked_chat(&llm, &json!({ "thinking": thinking, "max_tokens": 60 }));
    let (_, whole) = answer(&mut llm, &asked);
    let reasoning = &whole["usage"]["completion_tokens_details"]["reasoning_tokens"];
    assert!(reasoning.as_u64() <= Some(4), "{reasoning}");
}

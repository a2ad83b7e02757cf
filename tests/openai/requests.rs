//! What clients ask for.

use serde_json::{Value, json};
use tiefsee::openai::{apply_template, detokenize, refusal, tokenize, tokenizer_info};
use tiefsee::text::ToolFormat;
use tiefsee::{Error, Role};

use crate::{ask, chat, complete, language, parameter, question};

#[test]
fn messages_are_texts_or_parts_that_are_texts() {
    let request = json!({ "messages": [
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": "c", "tool_calls": [], "reasoning_content": "hm" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
            { "id": "2", "type": "function", "function": { "name": "g", "arguments": { "a": 1 } } },
        ] },
        { "role": "tool", "tool_call_id": "1", "content": "d" },
    ] });
    let messages = chat(&request).expect("a request").messages;
    let said: Vec<_> = messages
        .iter()
        .map(|message| (message.role, message.content.as_str()))
        .collect();
    let roles = [
        Role::System,
        Role::User,
        Role::Assistant,
        Role::Assistant,
        Role::Tool,
    ];
    let texts = ["Be brief.", "ab", "c", "", "d"];
    assert_eq!(said, roles.into_iter().zip(texts).collect::<Vec<_>>());
    assert_eq!(messages[2].reasoning.as_deref(), Some("hm"));
    let calls = &messages[3].tool_calls;
    assert_eq!((calls[0].id.as_str(), calls[1].name.as_str()), ("1", "g"));
    assert_eq!(calls[1].arguments, "{\"a\":1}");
    assert_eq!(messages[4].tool_call_id.as_deref(), Some("1"));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let function = |name: &str| json!({ "type": "function", "function": { "name": name } });
    for (field, value) in [
        ("temperature", json!("hot")),
        ("temperature", json!(-1)),
        ("top_p", json!(0)),
        ("min_p", json!(1.5)),
        ("top_k", json!(-1)),
        ("seed", json!(0.5)),
        ("stop", json!(7)),
        ("stop", json!("")),
        ("stop", json!(vec!["a"; 17])),
        ("max_tokens", json!(0)),
        ("max_completion_tokens", json!("many")),
        ("stream_options", json!(7)),
        ("n", json!(9)),
        ("n", json!(0)),
        ("best_of", json!(2)),
        ("top_logprobs", json!(21)),
        ("logit_bias", json!({ "x": 2 })),
        ("logit_bias", json!({ "1": 101 })),
        ("presence_penalty", json!(2.5)),
        ("frequency_penalty", json!(-2.5)),
        ("tools", json!(vec![function("f"); 129])),
        ("tool_choice", json!("required")),
        ("tool_choice", json!("perhaps")),
        ("thinking", json!({ "type": "maybe" })),
        ("functions", json!([{}])),
        ("guided_json", json!({ "type": "object" })),
        ("audio", json!({ "voice": "deep" })),
    ] {
        let mut fields = json!({ field: value });
        if field == "top_logprobs" {
            fields["logprobs"] = json!(true);
        }
        assert_eq!(parameter(chat(&question(&fields))).0, field, "{fields}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let function = |name: &str| json!({ "type": "function", "function": { "name": name } });
    for (fields, name) in [
        (json!({ "top_logprobs": 2 }), "top_logprobs"),
        (json!({ "min_tokens": 5, "max_tokens": 4 }), "min_tokens"),
        (
            json!({ "tools": [{ "type": "retrieval" }] }),
            "tools[0].type",
        ),
        (json!({ "tools": [function("")] }), "tools[0].function.name"),
        (
            json!({ "tools": [function("f"), function("f")] }),
            "tools[1].function.name",
        ),
        (
            json!({ "tools": [function("f")], "tool_choice": function("g") }),
            "tool_choice",
        ),
        (
            json!({ "response_format": { "type": "xml" } }),
            "response_format.type",
        ),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": {} } }),
            "response_format.json_schema.schema",
        ),
    ] {
        assert_eq!(parameter(chat(&question(&fields))).0, name, "{fields}");
    }
}

#[test]
fn messages_that_make_no_sense_are_refused_by_name() {
    for (messages, name) in [
        (json!(null), "messages"),
        (json!([]), "messages"),
        (
            json!([{ "role": "king", "content": "" }]),
            "messages[0].role",
        ),
        (json!([{ "role": "user" }]), "messages[0].content"),
        (json!([{ "role": "assistant" }]), "messages[0].content"),
        (
            json!([{ "role": "user", "content": [{ "type": "image_url" }] }]),
            "messages[0].content",
        ),
        (
            json!([{ "role": "user", "content": "", "prefix": true }]),
            "messages[0].prefix",
        ),
        (
            json!([{ "role": "assistant", "content": "", "prefix": true }, { "role": "user", "content": "" }]),
            "messages[0].prefix",
        ),
        (
            json!([{ "role": "assistant", "content": "", "tool_calls": [{ "function": {} }] }]),
            "messages[0].tool_calls[0].function.name",
        ),
    ] {
        assert_eq!(parameter(chat(&json!({ "messages": messages }))).0, name);
    }
}

#[test]
fn texts_that_make_no_sense_are_refused_by_name() {
    for (fields, name) in [
        (json!({}), "prompt"),
        (json!({ "prompt": 7 }), "prompt"),
        (json!({ "prompt": "a", "logprobs": 21 }), "logprobs"),
        (json!({ "prompt": "a", "max_tokens": 0 }), "max_tokens"),
        (
            json!({ "prompt": "a", "suffix": "b", "echo": true }),
            "echo",
        ),
    ] {
        assert_eq!(parameter(complete(&fields)).0, name, "{fields}");
    }
    for text in ["", "[]", "{", "null"] {
        let read = tiefsee::openai::ChatRequest::from_json(text);
        assert!(matches!(read, Err(Error::Usage(_))));
    }
}

#[test]
fn what_the_model_cannot_do_is_refused_by_name() {
    for (fields, name) in [
        (json!({ "prompt": "a", "suffix": "b" }), "suffix"),
        (json!({ "prompt": [] }), "prompt"),
        (json!({ "prompt": "" }), "prompt"),
        (json!({ "prompt": [1, 512] }), "prompt"),
        (
            json!({ "prompt": "a", "logit_bias": { "512": 1 } }),
            "logit_bias",
        ),
    ] {
        let asked = complete(&fields).expect("a request").ask(language(), 1);
        assert_eq!(parameter(asked).0, name, "{fields}");
    }
}

#[test]
fn what_means_nothing_is_accepted() {
    let fields = json!({
        "model": "any", "user": "me", "n": 1, "metadata": { "a": "b" }, "store": true, "logprobs": false,
        "logit_bias": {}, "tools": [], "tool_choice": "auto", "stop": null, "parallel_tool_calls": true,
        "response_format": { "type": "text" }, "temperature": null, "frequency_penalty": 0, "top_logprobs": 0,
        "modalities": ["text"], "functions": [], "stream_options": null, "service_tier": "auto",
    });
    let asked = ask(&question(&fields)).expect("a request");
    assert!(!asked.stream);
    assert_eq!(asked.answers.len(), 1);
}

#[test]
fn settings_lie_over_the_checkpoints() {
    let plain = ask(&question(&json!({}))).expect("a request").answers;
    let defaults = language().defaults(5);
    assert_eq!(plain[0].1.sampling, defaults.sampling);
    assert_eq!(plain[0].1.max_tokens, defaults.max_tokens);
    let asked = ask(&question(&json!({
        "temperature": 0.25, "top_p": 0.5, "top_k": 3, "min_p": 0.125, "repetition_penalty": 1.5,
        "frequency_penalty": -1.5, "presence_penalty": 0.5, "logit_bias": { "7": -100 }, "seed": -1,
        "max_tokens": 9, "max_completion_tokens": 8, "min_tokens": 2, "stop": "x", "experts": true,
        "stream": true, "n": 2, "logprobs": true, "top_logprobs": 3,
        "thinking": { "type": "enabled", "budget_tokens": 4 },
    })))
    .expect("a request");
    assert!(asked.stream);
    let [(_, options), (_, second)] = asked.answers.as_slice() else {
        panic!("two answers");
    };
    let sampling = &options.sampling;
    assert_eq!(
        (sampling.temperature, sampling.top_p, sampling.min_p),
        (0.25, 0.5, 0.125)
    );
    assert_eq!((sampling.top_k, sampling.repetition_penalty), (3, 1.5));
    assert_eq!(
        (sampling.frequency_penalty, sampling.presence_penalty),
        (-1.5, 0.5)
    );
    assert_eq!(sampling.logit_bias, [(7, -100.0)]);
    assert_eq!((sampling.seed, second.sampling.seed), (u64::MAX, 0));
    assert_eq!((options.max_tokens, options.min_tokens), (Some(8), 2));
    assert_eq!(options.stop, ["x"]);
    assert_eq!(
        (options.logprobs, options.thinking_budget),
        (Some(3), Some(4))
    );
    assert!(options.routes);
}

#[test]
fn prompts_are_texts_or_ids_or_lists_of_them() {
    for (prompt, count) in [
        (json!("27"), 1),
        (json!(["27"]), 1),
        (json!([1, 2, 3]), 1),
        (json!(["27", "28"]), 2),
        (json!([[1, 2], [3], [4]]), 3),
    ] {
        let request =
            json!({ "prompt": prompt, "n": 2, "echo": true, "logprobs": 1, "max_tokens": 0 });
        let asked = complete(&request).expect("a request").ask(language(), 1);
        let answers = asked.expect("prompts").answers;
        assert_eq!(answers.len(), 2 * count, "{prompt}");
        assert_eq!(answers[0].0, answers[1].0);
        assert!(
            answers
                .iter()
                .all(|(_, options)| options.prompt_logprobs && options.max_tokens == Some(0))
        );
    }
}

#[test]
fn thinking_tools_and_beginnings_go_into_the_prompt() {
    let text = |fields: &Value| {
        let template = apply_template(&question(fields).to_string(), language());
        template.expect("a prompt")["prompt"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    assert!(text(&json!({})).ends_with("<｜Assistant｜><think>\n"));
    let silent = "<｜Assistant｜><think>\n\n</think>\n\n";
    assert!(text(&json!({ "thinking": { "type": "disabled" } })).ends_with(silent));
    assert!(text(&json!({ "reasoning_effort": "none" })).ends_with(silent));
    let begun = json!({ "messages": [
        { "role": "user", "content": "?" }, { "role": "assistant", "content": "It is", "prefix": true },
    ] });
    assert!(text(&begun).ends_with(&format!("{silent}It is")));
    let tool = json!({ "type": "function", "function": { "name": "look_up", "parameters": { "type": "object" } } });
    let tools = text(&json!({ "tools": [tool] }));
    assert!(
        tools.contains("look_up") && tools.contains("<tool_call>"),
        "{tools}"
    );
    assert!(!text(&json!({ "tools": [tool], "tool_choice": "none" })).contains("look_up"));
    let options = &ask(&question(&json!({ "tools": [tool] })))
        .expect("a request")
        .answers[0]
        .1;
    assert_eq!(options.tools, Some(ToolFormat::Object));
    assert!(options.grammar.is_none());
}

#[test]
fn words_become_ids_and_ids_words() {
    let tokens = tokenize(
        "{\"prompt\": \"What is 1 + 1?\", \"return_token_strs\": true}",
        language(),
    );
    let tokens = tokens.expect("tokens");
    let count = tokens["count"].as_u64().expect("a count") as usize;
    assert_eq!(tokens["tokens"].as_array().expect("ids").len(), count);
    assert_eq!(tokens["token_strs"].as_array().expect("texts").len(), count);
    assert_eq!(tokens["max_model_len"], language().context());
    let text = detokenize(
        &json!({ "tokens": tokens["tokens"] }).to_string(),
        language(),
    );
    assert_eq!(text.expect("a text")["prompt"], "What is 1 + 1?");
    let chat = tokenize(&question(&json!({})).to_string(), language()).expect("tokens");
    assert!(chat["count"].as_u64() > Some(count as u64));
    assert_eq!(
        parameter(detokenize("{\"tokens\": [512]}", language())).0,
        "tokens"
    );
    assert_eq!(parameter(tokenize("{}", language())).0, "prompt");
    assert_eq!(tokenizer_info(language())["vocab_size"], 512);
    let info = tokenizer_info(language());
    assert!(
        info["chat_template"]
            .as_str()
            .is_some_and(|source| source.contains("messages"))
    );
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
    let refused = &refusal(&long)["error"];
    assert_eq!(refused["code"], "context_length_exceeded");
    let words = "This model's maximum context length is 8 tokens. However, your messages resulted in 9 tokens. \
                 Please reduce the length of the messages.";
    assert_eq!(refused["message"], words);
    let lost = refusal(&Error::DeviceLost("gone".into()));
    assert_eq!(lost["error"]["type"], "server_error");
}

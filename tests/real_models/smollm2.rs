//! SmolLM2-135M-Instruct in `Q4_1`, a model of another family that nobody made for these tests.

use futures::{StreamExt, pin_mut};
use pollster::block_on;
use serde_json::Value;
use tiefsee::engine::{FinishReason, Sampling};
use tiefsee::text::{ChatTemplate, Message};
use tiefsee::{Completion, GenerateOptions, Llm, LoadOptions, Update};

use super::{assert_texts, common, golden, ids, list, open_gguf, packaged, tokenizer_of};

/// The token that ends an answer.
const END: u32 = 2;
/// Tokens of the golden answers that do not end before.
const MOST_TOKENS: usize = 48;

fn messages(prompt: &Value) -> Vec<Message> {
    serde_json::from_value(prompt["messages"].clone()).expect("messages")
}

#[test]
fn the_file_opens() {
    let checkpoint = open_gguf(&packaged(&golden("smollm2.json")));
    let config = checkpoint.config();
    for (field, expected) in [
        ("vocab_size", 49152),
        ("hidden_size", 576),
        ("intermediate_size", 1536),
        ("num_hidden_layers", 30),
        ("num_attention_heads", 9),
        ("num_key_value_heads", 3),
        ("head_dim", 64),
        ("eos_token_id", 2),
    ] {
        assert_eq!(config[field], expected, "{field}");
    }
    assert_eq!(config["model_type"], "llama");
    assert_eq!(config["tie_word_embeddings"], true);
    assert_eq!(checkpoint.tensors().count(), 272);
}

#[test]
fn texts_are_the_tokens_of_the_reference_library() {
    let golden = golden("smollm2.json");
    let tokenizer = tokenizer_of(&open_gguf(&packaged(&golden)));
    assert_texts(&tokenizer, &golden, "SmolLM2");
}

#[test]
fn the_template_writes_conversations_as_under_transformers() {
    let golden = golden("smollm2.json");
    let checkpoint = open_gguf(&packaged(&golden));
    let tokenizer = tokenizer_of(&checkpoint);
    let config = block_on(checkpoint.text("tokenizer_config.json")).expect("sound metadata");
    let config: Value = serde_json::from_str(&config.expect("a text")).expect("JSON");
    let template = ChatTemplate::from_config(&config, None).expect("a template");
    let prompts = list(&golden["prompts"]);
    assert_eq!(prompts.len(), 5);
    for prompt in prompts {
        let messages = messages(prompt);
        let text = template.render(&messages, true).expect("a prompt");
        assert_eq!(text, prompt["prompt_text"]);
        let encoded = template
            .encode(&tokenizer, &messages, true)
            .expect("a prompt");
        assert_eq!(encoded.tokens, ids(&prompt["prompt_ids"]), "{text}");
        assert!(!encoded.opens_reasoning);
    }
}

fn answer(llm: &mut Llm, messages: &[Message]) -> Completion {
    let options = GenerateOptions {
        max_tokens: Some(MOST_TOKENS),
        ..GenerateOptions::new(Sampling::GREEDY)
    };
    block_on(async {
        let stream = llm.chat(messages, &options).expect("a prompt that fits");
        pin_mut!(stream);
        loop {
            if let Update::Done(completion) =
                stream.next().await.expect("an end").expect("no error")
            {
                return completion;
            }
        }
    })
}

#[test]
fn answers_are_those_of_transformers() {
    let golden = golden("smollm2.json");
    let path = packaged(&golden);
    let options = LoadOptions {
        device: common::options(),
        context: Some(256),
        ..LoadOptions::default()
    };
    let loaded = block_on(Llm::load(path.to_str().expect("a path"), options));
    let mut llm = loaded.expect("the model");
    let mut compared = 0;
    for prompt in list(&golden["prompts"]) {
        let completion = answer(&mut llm, &messages(prompt));
        println!("{:?}: {:?}", completion.text, completion.timings);
        // No token leads by less than 0.04, so none may differ.
        let mut expected = ids(&prompt["greedy"]);
        let ends = expected.pop_if(|token| *token == END).is_some();
        assert_eq!(completion.tokens, expected, "{}", completion.text);
        let stopped = completion.finish_reason == FinishReason::Stop;
        assert_eq!(stopped, ends, "{}", completion.text);
        compared += expected.len() + usize::from(ends);
    }
    assert_eq!(compared, 123);
}

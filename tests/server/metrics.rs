//! Numbers for whoever watches over the server.

use std::time::Duration;

use serde_json::json;
use tiefsee::engine::Speculate;
use tiefsee::server::ServerOptions;
use tiefsee::{Llm, LoadOptions};

use crate::server::{Client, Running, load_options, question};

const CHAT: &str = "/v1/chat/completions";

/// The value of a metric that counts.
#[track_caller]
fn value(client: &Client, name: &str) -> u64 {
    let reply = client.get("/metrics");
    assert_eq!(reply.status, 200);
    let line = reply
        .body
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let number = number.map(|number| number as u64);
    number.unwrap_or_else(|| panic!("{name} is not in {}", reply.body))
}

#[test]
fn answers_are_counted() {
    let server = Running::start(ServerOptions::default());
    assert_eq!(value(&server, "vllm:num_requests_running"), 0);
    let usage = server.post(CHAT, &question("What is 27 + 48?")).json()["usage"].take();
    for (name, count) in [
        ("tiefsee_prompt_tokens_total", &usage["prompt_tokens"]),
        ("vllm:prompt_tokens_total", &usage["prompt_tokens"]),
        (
            "tiefsee_generation_tokens_total",
            &usage["completion_tokens"],
        ),
        ("vllm:generation_tokens_total", &usage["completion_tokens"]),
        (
            "vllm:prefix_cache_hits_total",
            &usage["prompt_cache_hit_tokens"],
        ),
        ("vllm:time_to_first_token_seconds_count", &json!(1)),
        ("vllm:e2e_request_latency_seconds_count", &json!(1)),
        ("tiefsee_device_losses_total", &json!(0)),
    ] {
        assert_eq!(
            value(&server, name),
            count.as_u64().expect("a number"),
            "{name}"
        );
    }
    let body = server.get("/metrics").body;
    assert!(body.contains("finished_reason=\"stop\""), "{body}");
    let mut request = question("What is 27 + 48?");
    request["stream"] = json!(true);
    let mut streaming = server.stream(CHAT, &request);
    streaming.wait_for("reasoning_content");
    assert_eq!(value(&server, "tiefsee_requests_running"), 1);
    drop(streaming);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(value(&server, "tiefsee_requests_running"), 0);
    server.stop()().expect("a clean end");
}

#[test]
fn guesses_are_counted() {
    let server = Running::start_with(ServerOptions::default(), || {
        let options = LoadOptions {
            speculate: Speculate::On,
            ..load_options(1)
        };
        pollster::block_on(Llm::load("demo", options))
    });
    server.wait_until_ready();
    assert_eq!(value(&server, "tiefsee_guessed_tokens_total"), 0);
    let usage = server.post(CHAT, &question("What is 27 + 48?")).json()["usage"].take();
    let tokens = usage["completion_tokens"].as_u64().expect("a number");
    let made = value(&server, "vllm:spec_decode_num_draft_tokens_total");
    let right = value(&server, "tiefsee_right_guesses_total");
    assert!(
        10 < right && right <= made && made < tokens,
        "{right} of {made} guesses, {tokens} tokens"
    );
}

//! Clients that go away make room at once, wherever their answers are. It goes by the clock, so nothing else may be
//! tested here.

mod common;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tiefsee::server::ServerOptions;

use server::{CONTEXT, Running, Streaming, endless, question};

const CHAT: &str = "/v1/chat/completions";
const SECOND: Duration = Duration::from_secs(1);

/// Leaves, after which a request that was refused before has to be let in within a second.
#[track_caller]
fn leave(server: &Running, streaming: Streaming) {
    let mut request = question("What is 27 + 48?");
    request["max_tokens"] = json!(1);
    request["stream"] = json!(true);
    let refused = server.post(CHAT, &request);
    assert_eq!(refused.error(429)["code"], "queue_full");
    assert!(refused.headers.contains("retry-after: 1"));
    drop(streaming);
    let started = Instant::now();
    let time = loop {
        assert!(started.elapsed() < 20 * SECOND, "the slot is stuck");
        let mut streaming = server.stream(CHAT, &request);
        streaming.wait_for("\r\n\r\n");
        let time = started.elapsed();
        if streaming.finish().status != 429 {
            break time;
        }
    };
    println!("the slot was free after {time:?}");
    assert!(time < SECOND, "the slot was free after {time:?}");
}

#[test]
fn slots_are_free_within_a_second() {
    let server = Running::start(ServerOptions {
        slots: 1,
        queue: 0,
        ..ServerOptions::default()
    });
    let started = Instant::now();
    let events = server.stream(CHAT, &endless("Hello")).finish().events();
    let whole = started.elapsed();
    assert!(whole > 2 * SECOND, "too short to show anything: {whole:?}");
    assert!(events.len() > 100);
    // Before anything is generated.
    let long = endless(&"What is 27 + 48? ".repeat(CONTEXT / 20));
    let mut streaming = server.stream(CHAT, &long);
    streaming.wait_for("200 OK");
    leave(&server, streaming);
    // While it thinks.
    let mut streaming = server.stream(CHAT, &endless("Hello"));
    streaming.wait_for("\"reasoning_content\":");
    leave(&server, streaming);
    // While it speaks.
    let mut text = endless("");
    text["prompt"] = json!("The answer is");
    let mut streaming = server.stream("/v1/completions", &text);
    streaming.wait_for("\"text\":");
    leave(&server, streaming);
    // Without a stream nothing has been sent.
    let mut silent = endless("Hello");
    silent["stream"] = json!(false);
    let waiting = server.stream(CHAT, &silent);
    thread::sleep(SECOND / 4);
    leave(&server, waiting);
    server.stop()().expect("a clean end");
}

//! Clients that go away make room at once, wherever their answers are, and nobody else notices.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiefsee::server::{Patience, ServerOptions};

use crate::server::{CONTEXT, Running, Streaming, joined, question};

const CHAT: &str = "/v1/chat/completions";
const SECOND: Duration = Duration::from_secs(1);

/// An answer of random words that goes on until the context is full.
fn endless(text: &str) -> Value {
    json!({
        "messages": [{ "role": "user", "content": text }],
        "temperature": 100, "top_p": 1, "seed": 1, "max_tokens": CONTEXT, "stream": true,
    })
}

/// A server that answers one request and lets `queue` wait.
fn start(queue: usize) -> Running {
    Running::start(ServerOptions {
        slots: 1,
        queue,
        ..ServerOptions::default()
    })
}

/// How long it takes until a request is let in that was refused before.
#[track_caller]
fn time_to_room(server: &Running, leave: impl FnOnce()) -> Duration {
    let mut request = question("What is 27 + 48?");
    request["max_tokens"] = json!(1);
    request["stream"] = json!(true);
    let refused = server.post(CHAT, &request);
    assert_eq!(refused.error(429)["code"], "queue_full");
    assert!(refused.headers.contains("retry-after: 1"));
    leave();
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < 20 * SECOND, "the slot is stuck");
        let mut streaming = server.stream(CHAT, &request);
        streaming.wait_for("\r\n\r\n");
        let time = started.elapsed();
        if streaming.finish().status != 429 {
            return time;
        }
    }
}

/// Leaves, after which a slot has to be free in a fraction of the time that a `whole` answer takes.
#[track_caller]
fn leave(server: &Running, streaming: Streaming, whole: Duration) {
    let time = time_to_room(server, || drop(streaming));
    assert!(
        time < whole / 4,
        "the slot was free after {time:?}, and an answer takes {whole:?}"
    );
}

#[test]
fn slots_are_free_at_once() {
    let server = start(0);
    let started = Instant::now();
    let events = server.stream(CHAT, &endless("Hello")).finish().events();
    let whole = started.elapsed();
    assert!(whole > 2 * SECOND, "too short to show anything: {whole:?}");
    assert!(events.len() > 100);
    // Before anything is generated.
    let long = endless(&"What is 27 + 48? ".repeat(CONTEXT / 20));
    let mut streaming = server.stream(CHAT, &long);
    streaming.wait_for("200 OK");
    leave(&server, streaming, whole);
    // While it thinks.
    let mut streaming = server.stream(CHAT, &endless("Hello"));
    streaming.wait_for("\"reasoning_content\":");
    leave(&server, streaming, whole);
    // While it speaks.
    let mut text = endless("");
    text["prompt"] = json!("The answer is");
    let mut streaming = server.stream("/v1/completions", &text);
    streaming.wait_for("\"text\":");
    leave(&server, streaming, whole);
    // Without a stream nothing has been sent.
    let mut silent = endless("Hello");
    silent["stream"] = json!(false);
    let waiting = server.stream(CHAT, &silent);
    thread::sleep(SECOND / 4);
    leave(&server, waiting, whole);
    server.stop()().expect("a clean end");
}

#[test]
fn who_waits_in_vain_leaves_the_queue() {
    let server = start(1);
    let mut request = question("What is 27 + 48?");
    let alone = server.post(CHAT, &request).json();
    request["stream"] = json!(true);
    let mut long = server.stream(CHAT, &endless("Hello"));
    long.wait_for("\"reasoning_content\":");
    let mut waiting = server.stream(CHAT, &endless("Hello"));
    waiting.wait_for("200 OK");
    let last = {
        let refused = server.post(CHAT, &request);
        refused.error(429);
        drop(waiting);
        thread::sleep(SECOND);
        let mut last = server.stream(CHAT, &request);
        last.wait_for("200 OK");
        last
    };
    // The long one still has the slot, and once it goes the last one is answered as if nothing had been.
    drop(long);
    let events = last.finish().events();
    let content = &alone["choices"][0]["message"]["content"];
    assert_eq!(*content, joined(&events, "content").as_str());
    server.stop()().expect("a clean end");
}

#[test]
fn who_waits_hears_that_the_server_lives() {
    let patience = Patience {
        keep_alive: SECOND / 10,
        ..Patience::default()
    };
    let server = Running::start(ServerOptions {
        slots: 1,
        patience,
        ..ServerOptions::default()
    });
    let mut long = server.stream(CHAT, &endless("Hello"));
    long.wait_for("\"reasoning_content\":");
    let mut request = question("What is 27 + 48?");
    request["stream"] = json!(true);
    let mut waiting = server.stream(CHAT, &request);
    waiting.wait_for("\n: keep-alive\n\n");
    drop(long);
    let events = waiting.finish().events();
    assert_eq!(joined(&events, "content"), "The answer is 75.");
    server.stop()().expect("a clean end");
}

#[test]
fn others_get_what_they_get_alone() {
    let server = Running::start(ServerOptions::default());
    let questions = ["What is 27 + 48?", "What is 8 x 7?", "What is 91 - 17?"];
    let ask = |text: &str| server.post(CHAT, &question(text)).json()["choices"][0].clone();
    let alone = questions.map(ask);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..6 {
                    let mut streaming = server.stream(CHAT, &endless("Hello"));
                    streaming.wait_for("\"reasoning_content\":");
                }
            });
        }
        for (text, alone) in questions.iter().zip(&alone) {
            for _ in 0..3 {
                assert_eq!(ask(text), *alone);
            }
        }
    });
    server.stop()().expect("a clean end");
}

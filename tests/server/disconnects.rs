//! Clients that go away or wait, which nobody else notices.

use std::thread;
use std::time::Duration;

use serde_json::json;
use tiefsee::server::{Patience, ServerOptions};

use crate::server::{Running, endless, joined, question};

const CHAT: &str = "/v1/chat/completions";
const SECOND: Duration = Duration::from_secs(1);

/// A server that answers one request and lets `queue` wait.
fn start(queue: usize) -> Running {
    Running::start(ServerOptions {
        slots: 1,
        queue,
        ..ServerOptions::default()
    })
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

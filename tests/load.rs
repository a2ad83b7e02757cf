//! Many clients at once, some of which go away or ask for nonsense: every byte is right, no slot is stuck, and
//! nothing grows.
//!
//! `make test` sends some requests, `make load` (`TIEFSEE_LOAD=2000`) many, and has figures compared as well.

mod common;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use tiefsee::server::ServerOptions;
use tiefsee::{Llm, Message, Role, Update};

use server::{Client, Program, Running, joined, load_options, question};

const CHAT: &str = "/v1/chat/completions";
/// Streams that are open at a time.
const CLIENTS: usize = 64;

/// Requests that are sent, and whether so many that speed counts.
fn requests() -> (usize, bool) {
    match std::env::var("TIEFSEE_LOAD") {
        Ok(count) => (count.parse().expect("a number of requests"), true),
        Err(_) => (200, false),
    }
}

/// Questions with short answers that transformers gives as well, and those.
fn problems() -> Vec<(String, String)> {
    let golden: Value = serde_json::from_str(include_str!("golden/demo.json")).expect("JSON");
    let mut problems = golden["problems"].as_array().expect("a list").clone();
    problems.sort_by_key(|problem| problem["tokens"].as_u64());
    let text = |problem: &Value, key: &str| problem[key].as_str().expect("a text").to_owned();
    let problems = problems.iter().take(60);
    problems
        .map(|problem| (text(problem, "question"), text(problem, "completion")))
        .collect()
}

/// What was done, by kind.
#[derive(Default)]
struct Done {
    whole: AtomicUsize,
    left: AtomicUsize,
    refused: AtomicUsize,
    again: AtomicUsize,
}

/// Sends the request number `index`: one of twenty is nonsense, four of them are not waited for.
fn send(client: &Client, problems: &[(String, String)], index: usize, done: &Done) {
    let mut random = Pcg64::seed_from_u64(index as u64);
    let (text, completion) = &problems[index % problems.len()];
    let mut request = question(text);
    request["stream"] = json!(true);
    match random.next_u32() % 20 {
        0 => {
            request["temperature"] = json!(-1);
            client.post(CHAT, &request).error(400);
            done.refused.fetch_add(1, Ordering::Relaxed);
        }
        1..=4 => {
            let streaming = client.stream(CHAT, &request);
            thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 1500)));
            drop(streaming);
            done.left.fetch_add(1, Ordering::Relaxed);
        }
        _ => {
            let reply = loop {
                let reply = client.stream(CHAT, &request).finish();
                if reply.status != 429 {
                    break reply;
                }
                done.again.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(200));
            };
            let events = reply.events();
            let parts = ["reasoning_content", "content"].map(|field| joined(&events, field));
            // The newline before the marker is no part of the thinking.
            let completion = completion.replace("\n</think>", "</think>");
            assert_eq!(parts.join("</think>\n\n"), completion, "{text}");
            done.whole.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the process has in memory, in KiB, and open files.
fn account(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("an account");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let memory = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let files = fs::read_dir(format!("/proc/{process}/fd")).expect("a folder");
    (memory.expect("a number of KiB"), files.count())
}

#[test]
fn nothing_is_wrong_stuck_or_growing() {
    let (count, _) = requests();
    let problems = problems();
    let mut program = Program::start(&["--port", "0", "--slots", "4"]);
    let client = program.client();
    client.wait_until_ready();
    let (next, done) = (AtomicUsize::new(0), Done::default());
    let run_to = |end: usize| {
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= end {
                            break;
                        }
                        send(&client, &problems, index, &done);
                    }
                });
            }
        });
        next.store(end, Ordering::Relaxed);
        // Whoever left last is noticed within a step.
        thread::sleep(Duration::from_secs(1));
        account(program.id())
    };
    let started = Instant::now();
    let (memory, files) = run_to(count / 4);
    let (memory_after, files_after) = run_to(count);
    let took = started.elapsed();
    let Done {
        whole,
        left,
        refused,
        again,
    } = &done;
    println!(
        "{count} requests of {CLIENTS} clients on 4 slots in {:.1} s: {whole:?} answered, {left:?} left, {refused:?} \
         refused, {again:?} sent again; memory {memory} KiB after a quarter, {memory_after} KiB at the end; \
         {files} and {files_after} open files",
        took.as_secs_f64()
    );
    assert!(files_after <= files + 4, "files stay open");
    assert!(memory_after <= memory + memory / 10 + 8192, "memory grows");
    // All four slots are there.
    let begun = Instant::now();
    let (text, _) = &problems[0];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(client.post(CHAT, &question(text)).status, 200));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "a slot is stuck");
}

/// Tokens per second of so many clients together.
fn rate(server: &Running, clients: usize, problems: &[(String, String)]) -> f64 {
    let started = Instant::now();
    let tokens = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..clients {
            let tokens = &tokens;
            scope.spawn(move || {
                for (text, _) in problems.iter().skip(client).step_by(clients) {
                    let usage = server.post(CHAT, &question(text)).json()["usage"].take();
                    let count = usage["completion_tokens"].as_u64().expect("a number");
                    tokens.fetch_add(count as usize, Ordering::Relaxed);
                }
            });
        }
    });
    tokens.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

#[test]
fn eight_clients_get_three_times_as_much_as_one() {
    let (_, counts) = requests();
    let server = Running::start(ServerOptions {
        slots: 8,
        ..ServerOptions::default()
    });
    let problems = problems();
    let problems = if counts {
        &problems[..]
    } else {
        &problems[..16]
    };
    rate(&server, 8, &problems[..8]);
    let one = rate(&server, 1, &problems[..problems.len().min(24)]);
    let eight = rate(&server, 8, problems);
    println!(
        "one client: {one:.0} tokens/s, eight: {eight:.0}; {:.2} times as many",
        eight / one
    );
    assert!(eight > one);
    assert!(!counts || eight >= 3.0 * one);
    server.stop()().expect("a clean end");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn the_server_adds_little_to_the_first_token() {
    let (_, counts) = requests();
    let rounds = if counts { 41 } else { 11 };
    let server = Running::start(ServerOptions::default());
    let llm = pollster::block_on(Llm::load("demo", load_options(4)));
    let mut llm = llm.expect("the bundled model");
    let (text, _) = &problems()[0];
    let (mut alone, mut served) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let messages = [Message::new(Role::User, text.clone())];
        let started = Instant::now();
        let options = llm.defaults(0);
        let updates = llm.chat(&messages, &options).expect("it fits");
        let mut updates = Box::pin(updates);
        let first = pollster::block_on(async {
            while let Some(update) = updates.next().await {
                if let Update::Reasoning(_) = update.expect("no error") {
                    return started.elapsed();
                }
            }
            panic!("it does not think")
        });
        alone.push(first);
        drop(updates);
        let mut request = question(text);
        request["stream"] = json!(true);
        let started = Instant::now();
        let mut streaming = server.stream(CHAT, &request);
        streaming.wait_for("\"reasoning_content\":");
        served.push(started.elapsed());
        _ = streaming.finish();
    }
    let (alone, served) = (median(alone), median(served));
    println!("first token after {alone:?}, with the server {served:?} (medians of {rounds})");
    assert!(!counts || served <= alone + Duration::from_millis(3));
    server.stop()().expect("a clean end");
}

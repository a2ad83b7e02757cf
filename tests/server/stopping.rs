//! How a server begins and ends.

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tiefsee::Error;
use tiefsee::server::ServerOptions;

use crate::program;
use crate::server::{Program, Running, joined, question};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn sigterm_lets_streams_finish() {
    let mut program = Program::start(&["--port", "0"]);
    let client = program.client();
    client.wait_until_ready();
    let mut request = question("What is 27 + 48?");
    let alone = client.post(CHAT, &request).json();
    request["stream"] = json!(true);
    let mut streams: Vec<_> = (0..6).map(|_| client.stream(CHAT, &request)).collect();
    for stream in &mut streams {
        stream.wait_for("\"role\"");
    }
    let kill = Command::new("kill").arg(program.id().to_string()).status();
    assert!(kill.expect("kill").success());
    let started = Instant::now();
    while client.get("/ready").status == 200 {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it is still ready"
        );
    }
    let content = &alone["choices"][0]["message"]["content"];
    for stream in streams {
        let events = stream.finish().events();
        assert_eq!(*content, joined(&events, "content").as_str());
    }
    let (status, said) = program.wait();
    assert_eq!(status, Some(0), "{said}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn it_begins_with_a_saved_cache() {
    let folder = std::env::temp_dir().join(format!("tiefsee-serve-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("rules.cache");
    let path = file.to_str().expect("a path of UTF-8");
    let missing = Program::start(&["--port", "0", "--cache-file", path]).wait();
    assert_eq!(missing.0, Some(3), "{}", missing.1);
    let rules = "Be brief, be polite, and think before you answer. ".repeat(5);
    let saved = ["run", "demo", "What is 27 + 48?", "--system", &rules];
    program::text(&program::tiefsee(
        &[&saved[..], &["--cache-file", path]].concat(),
    ));
    let mut request = question("What is 8 x 7?");
    let system = json!({ "role": "system", "content": rules });
    request["messages"]
        .as_array_mut()
        .expect("a list")
        .insert(0, system);
    let mut replies = Vec::new();
    for arguments in [&["--port", "0", "--cache-file", path][..], &["--port", "0"]] {
        let mut program = Program::start(arguments);
        let client = program.client();
        client.wait_until_ready();
        replies.push(client.post(CHAT, &request).json());
    }
    let cached = |nth: usize| replies[nth]["usage"]["prompt_cache_hit_tokens"].as_u64();
    assert!(cached(0) >= Some(64) && cached(1) == Some(0), "{replies:?}");
    assert_eq!(replies[0]["choices"], replies[1]["choices"]);
    fs::remove_dir_all(&folder).expect("it can go");
}

#[test]
fn an_address_in_use_has_its_own_status() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (status, said) = Program::start(&["--port", &port]).wait();
    assert_eq!(status, Some(9), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}

#[test]
fn a_server_that_loads_says_so() {
    let (go_on, waits) = mpsc::channel::<()>();
    let server = Running::start_with(ServerOptions::default(), move || {
        _ = waits.recv();
        Err(Error::NotFound("no such model".into()))
    });
    assert_eq!(server.get("/health").status, 200);
    let error = server.get("/ready").error(503);
    assert_eq!(error["message"], "the model is being loaded");
    let refused = server.post(CHAT, &question("Hello"));
    refused.error(503);
    assert!(refused.headers.contains("retry-after: "));
    go_on.send(()).expect("it waits");
    thread::sleep(Duration::from_millis(200));
    assert!(matches!(server.stop()(), Err(Error::NotFound(_))));
}

#[test]
fn a_server_that_loads_can_be_stopped() {
    let (_go_on, waits) = mpsc::channel::<()>();
    let server = Running::start_with(ServerOptions::default(), move || {
        _ = waits.recv();
        Err(Error::NotFound("no such model".into()))
    });
    let started = Instant::now();
    server.stop()().expect("a clean end");
    assert!(started.elapsed() < Duration::from_secs(5));
}

//! Requests that are wrong, whether by mistake or on purpose.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiefsee::Llm;
use tiefsee::server::{Patience, ServerOptions};

use crate::poisoned;
use crate::server::{Reply, Running, SHARED, load_options, question};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "content-type: application/json\r\n";
const LIMIT: usize = 8 << 20;

#[test]
fn bodies_have_a_limit() {
    let mut request = question("");
    let padding = LIMIT - request.to_string().len();
    request["padding"] = json!("x".repeat(padding));
    assert!(request.to_string().len() > LIMIT);
    assert_eq!(
        SHARED.post(CHAT, &request).error(413)["code"],
        "request_too_large"
    );
    // One that asks before it sends is told before it has sent anything.
    let head = SHARED.text("POST", CHAT, &format!("{JSON}expect: 100-continue\r\n"), "");
    let head = head.replace("content-length: 0", "content-length: 99999999");
    SHARED.send(head.as_bytes()).error(413);
}

#[test]
fn endless_bodies_end() {
    let mut socket = SHARED.connect();
    let head = SHARED.text(
        "POST",
        CHAT,
        &format!("{JSON}transfer-encoding: chunked\r\n"),
        "",
    );
    let head = head.replace("content-length: 0\r\n", "");
    socket.write_all(head.as_bytes()).expect("it listens");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let sent = (0..1000)
        .take_while(|_| socket.write_all(chunk.as_bytes()).is_ok())
        .count();
    assert!(sent < 100, "{sent} MiB were taken");
}

#[test]
fn deep_bodies_are_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for body in [deep.clone(), format!("{{\"messages\": {deep}}}")] {
        let error = SHARED.request("POST", CHAT, JSON, &body).error(400);
        assert!(
            error["message"]
                .as_str()
                .expect("a message")
                .contains("recursion")
        );
    }
}

#[test]
fn only_json_is_read() {
    let body = question("Hello").to_string();
    for kind in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/jsonp\r\n",
    ] {
        SHARED.request("POST", CHAT, kind, &body).error(415);
    }
    for body in ["", "{", "[]", "null", "{\"messages\": 7}"] {
        SHARED.request("POST", CHAT, JSON, body).error(400);
    }
    let head = SHARED
        .text("POST", CHAT, JSON, "")
        .replace("length: 0", "length: 2");
    let bytes = [head.as_bytes(), &[0xff, 0xfe]].concat();
    SHARED.send(&bytes).error(400);
}

#[test]
fn numbers_out_of_range_are_named() {
    for (field, value) in [
        ("temperature", json!(-1)),
        ("temperature", json!(1e40)),
        ("top_p", json!(0)),
        ("top_p", json!(1.5)),
        ("top_k", json!(-3)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(1e300)),
        ("n", json!(1_000_000)),
        ("seed", json!(0.5)),
    ] {
        let mut request = question("Hello");
        request[field] = value.clone();
        let error = SHARED.post(CHAT, &request).error(400);
        let message = error["message"].as_str().expect("a message");
        assert!(
            error["param"] == field || message.contains(field),
            "{field} {value}: {error}"
        );
    }
}

#[test]
fn line_breaks_stay_where_they_are() {
    let mut request = question("Hello");
    request["model"] = json!("demo\r\nset-cookie: a=b\r\n\r\n<html>");
    let reply = SHARED.post(CHAT, &request);
    reply.error(404);
    assert!(!reply.headers.contains("set-cookie"));
    let split = SHARED.get("/v1/models/demo%0d%0aset-cookie:%20a=b");
    split.error(404);
    assert!(!split.headers.contains("set-cookie"));
    let bare = SHARED.request("GET", "/health", "x-a: b\rc: d\r\n", "");
    assert!(bare.status == 400 || bare.status == 200 && !bare.headers.contains("c: d"));
}

#[test]
fn slow_clients_are_let_go() {
    let second = Duration::from_secs(1);
    let patience = Patience {
        request: second,
        ..Patience::default()
    };
    let server = Running::start(ServerOptions {
        patience,
        ..ServerOptions::default()
    });
    // A head that comes a byte at a time.
    let started = Instant::now();
    let mut socket = server.connect();
    for byte in b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: "
        .iter()
        .chain([b'a'; 200].iter())
    {
        if socket.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut rest = Vec::new();
    _ = socket.read_to_end(&mut rest);
    assert!(started.elapsed() < 8 * second, "it waits for ever");
    // A body that never comes.
    let head = server
        .text("POST", CHAT, JSON, "")
        .replace("length: 0", "length: 50");
    let mut socket = server.connect();
    socket.write_all(head.as_bytes()).expect("it listens");
    let started = Instant::now();
    Reply::read(&mut socket).error(408);
    assert!(started.elapsed() < 8 * second);
    // Meanwhile others are served.
    let answer: Value = server.post(CHAT, &question("What is 27 + 48?")).json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "The answer is 75."
    );
    server.stop()().expect("a clean end");
}

#[test]
fn a_failure_is_told_of_whenever_it_comes() {
    let server = Running::start_with(ServerOptions::default(), || {
        let source = poisoned::demo();
        pollster::block_on(Llm::load_from(source, load_options(4), &|_| ()))
    });
    server.wait_until_ready();
    let mut request = json!({ "prompt": [31, 29, poisoned::TOKEN], "max_tokens": 5 });
    let error = server.post("/v1/completions", &request).error(500);
    assert_eq!(error["code"], "non_finite_logits");
    // A stream has begun by then: it says so, and does not come to its end.
    request["stream"] = json!(true);
    let reply = server.post("/v1/completions", &request);
    assert_eq!(reply.status, 200);
    assert!(
        reply.body.contains("data: {\"error\":{\"message\":"),
        "{reply:?}"
    );
    assert!(!reply.body.contains("[DONE]"), "{reply:?}");
    // It is the request's own.
    let answer = server.post(CHAT, &question("What is 27 + 48?")).json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "The answer is 75."
    );
    server.stop()().expect("a clean end");
}

//! Who may use the server, and who may not.

use serde_json::Value;
use tiefsee::Error;
use tiefsee::server::{Server, ServerOptions};

use crate::server::{Running, SHARED, question};

const CHAT: &str = "/v1/chat/completions";
const JSON: &str = "content-type: application/json\r\n";

fn bind(options: ServerOptions) -> tiefsee::Result<Server> {
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let options = ServerOptions { port: 0, ..options };
    threads.expect("a thread").block_on(Server::bind(options))
}

#[test]
fn other_machines_need_a_key() {
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let options = ServerOptions {
            host: host.into(),
            ..ServerOptions::default()
        };
        assert!(matches!(bind(options), Err(Error::Usage(_))), "{host}");
    }
    let open = ServerOptions {
        host: "0.0.0.0".into(),
        ..ServerOptions::default()
    };
    let with_key = ServerOptions {
        api_key: Some("secret".into()),
        ..open.clone()
    };
    bind(with_key).expect("a key protects it");
    let insecure = ServerOptions {
        insecure: true,
        ..open.clone()
    };
    bind(insecure).expect("it is meant");
    let empty = ServerOptions {
        api_key: Some(" ".into()),
        ..open
    };
    assert!(matches!(bind(empty), Err(Error::Usage(_))));
}

#[test]
fn strange_names_are_refused() {
    let ask = |host: &str| SHARED.request("GET", "/v1/models", &format!("host: {host}\r\n"), "");
    let port = SHARED.address.port();
    for host in [
        "evil.example",
        "evil.example:8383",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
    ] {
        assert_eq!(ask(host).error(403)["code"], "unknown_host", "{host}");
    }
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        assert_eq!(ask(host).status, 200, "{host}");
        assert_eq!(ask(&format!("{host}:{port}")).status, 200, "{host}");
    }
    // HTTP/1.0 has no such header, and no browser speaks it.
    let none = SHARED.send(b"GET /v1/models HTTP/1.0\r\n\r\n");
    assert_eq!(none.status, 403);
}

#[test]
fn pages_of_other_sites_are_refused() {
    let ask = |origin: &str| {
        let headers = format!("{JSON}origin: {origin}\r\n");
        SHARED.request("POST", CHAT, &headers, "{}")
    };
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "file://",
        "http://localhost@evil.example",
    ] {
        let reply = ask(origin);
        assert_eq!(reply.error(403)["code"], "unknown_origin", "{origin}");
        assert!(!reply.headers.contains("access-control-allow-origin"));
    }
    for origin in [
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:1",
    ] {
        let reply = ask(origin);
        // It is read, and has no messages.
        reply.error(400);
        let allowed = format!("access-control-allow-origin: {origin}");
        assert!(reply.headers.contains(&allowed), "{origin}: {reply:?}");
    }
    let preflight = |origin: &str| {
        let headers = format!(
            "origin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: authorization,content-type,x-stainless-os\r\n"
        );
        SHARED.request("OPTIONS", CHAT, &headers, "")
    };
    let reply = preflight("http://localhost:3000");
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .headers
            .contains("access-control-allow-headers: authorization,content-type,x-stainless-os")
    );
    assert_eq!(preflight("https://evil.example").status, 403);
}

#[test]
fn keys_names_and_origins_can_be_set() {
    let server = Running::start(ServerOptions {
        api_key: Some("correct horse".into()),
        cors_origins: vec!["https://app.example".into()],
        ..ServerOptions::default()
    });
    let ask = |headers: &str| server.request("GET", "/v1/models", headers, "");
    for wrong in [
        "",
        "authorization: Bearer\r\n",
        "authorization: Bearer wrong horse\r\n",
        "authorization: Bearer correct hors\r\n",
        "authorization: Bearer correct horsee\r\n",
        "authorization: Basic correct horse\r\n",
        "x-api-key: Correct Horse\r\n",
    ] {
        let reply = ask(wrong);
        assert_eq!(reply.error(401)["code"], "invalid_api_key", "{wrong}");
        assert!(reply.headers.contains("www-authenticate: bearer"));
    }
    assert_eq!(ask("authorization: Bearer correct horse\r\n").status, 200);
    assert_eq!(ask("x-api-key: correct horse\r\n").status, 200);
    // Whoever watches over it needs none; who knows it may call it what they like.
    for path in ["/health", "/v1/health", "/ready"] {
        assert_eq!(server.get(path).status, 200);
    }
    assert_eq!(
        ask("x-api-key: correct horse\r\nhost: llm.example\r\n").status,
        200
    );
    let page = "x-api-key: correct horse\r\norigin: https://app.example\r\n";
    assert!(
        ask(page)
            .headers
            .contains("access-control-allow-origin: https://app.example")
    );
    let other = "x-api-key: correct horse\r\norigin: https://other.example\r\n";
    ask(other).error(403);
    let body = question("What is 27 + 48?").to_string();
    let headers = format!("{JSON}authorization: Bearer correct horse\r\n");
    let answer: Value = server.request("POST", CHAT, &headers, &body).json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "The answer is 75."
    );
    server.stop()().expect("a clean end");
}

//! A server of the bundled model, and a client that sends exactly what it is told to.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses another part of this module"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiefsee::server::{Server, ServerOptions};
use tiefsee::{Llm, LoadOptions, Result};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::{common, program};

/// Tokens of a conversation.
pub const CONTEXT: usize = 1024;

/// A server of this process.
pub struct Running {
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// How its model is loaded.
pub fn load_options(slots: usize) -> LoadOptions {
    LoadOptions {
        device: common::options(),
        sequences: slots,
        context: Some(CONTEXT),
        // As on a GPU, also where the adapter is software.
        in_flight: NonZeroUsize::new(4),
        ..LoadOptions::default()
    }
}

/// The one that most tests use.
pub static SHARED: LazyLock<Running> = LazyLock::new(|| {
    Running::start(ServerOptions {
        weights: Some("demo".into()),
        ..ServerOptions::default()
    })
});

impl Running {
    /// Starts one on a free port and waits until it is ready.
    pub fn start(options: ServerOptions) -> Self {
        let slots = options.slots;
        let running = Self::start_with(options, move || {
            pollster::block_on(Llm::load("demo", load_options(slots)))
        });
        running.wait_until_ready();
        running
    }

    /// Starts one with a model of its own.
    pub fn start_with(
        options: ServerOptions,
        load: impl FnOnce() -> Result<Llm> + Send + 'static,
    ) -> Self {
        let options = ServerOptions { port: 0, ..options };
        let (stop, stopped) = oneshot::channel();
        let (address, bound) = mpsc::channel();
        let thread = thread::spawn(move || {
            let threads = runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("threads");
            threads.block_on(async {
                let server = Server::bind(options).await.expect("a free port");
                address.send(server.address()).expect("the test waits");
                server.run(load, async { _ = stopped.await }).await
            })
        });
        Self {
            client: Client::new(bound.recv().expect("a port")),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Tells it to stop; what it ends with comes from the function that is returned.
    pub fn stop(mut self) -> impl FnOnce() -> Result<()> {
        drop(self.stop.take());
        let thread = self.thread.take().expect("it runs");
        move || thread.join().expect("no panic")
    }
}

impl Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The program, serving the bundled model.
pub struct Program {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = program::command(&["serve", "demo", "--ctx", "1024"]);
        command.args(arguments);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("the program");
        let said = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, said }
    }

    /// Who asks it, once it has a port.
    pub fn client(&mut self) -> Client {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line}"));
        Client::new(address.parse().expect("an address"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, and what it said.
    pub fn wait(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("an end").code(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A failed test leaves nothing behind.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Who asks a server.
pub struct Client {
    pub address: SocketAddr,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub fn wait_until_ready(&self) {
        let started = Instant::now();
        while self.get("/ready").status != 200 {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "it never gets ready"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("it listens");
        let limit = Some(Duration::from_secs(120));
        socket.set_read_timeout(limit).expect("a socket");
        socket
    }

    /// Sends bytes and reads until the other side closes.
    pub fn send(&self, bytes: &[u8]) -> Reply {
        let mut socket = self.connect();
        // It may refuse before it has read all of it.
        _ = socket.write_all(bytes);
        Reply::read(&mut socket)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, "", "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let json = "content-type: application/json\r\n";
        self.request("POST", path, json, &body.to_string())
    }

    /// Sends a request with these headers, each with the end of its line.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        self.send(self.text(method, path, headers, body).as_bytes())
    }

    /// A request as it is sent.
    pub fn text(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let host = if headers.lines().any(|line| line.starts_with("host:")) {
            String::new()
        } else {
            format!("host: {}\r\n", self.address)
        };
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }

    /// Begins a stream; the client has it in its hands.
    pub fn stream(&self, path: &str, body: &Value) -> Streaming {
        let json = "content-type: application/json\r\n";
        let text = self.text("POST", path, json, &body.to_string());
        let mut socket = self.connect();
        socket.write_all(text.as_bytes()).expect("it listens");
        Streaming {
            socket,
            read: Vec::new(),
        }
    }
}

/// A reply that is on its way.
pub struct Streaming {
    pub socket: TcpStream,
    read: Vec<u8>,
}

impl Streaming {
    /// Reads until `text` has come.
    pub fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.read).contains(text) {
            let count = self.socket.read(&mut buffer).expect("more of the reply");
            let so_far = String::from_utf8_lossy(&self.read);
            assert!(count > 0, "{text} never comes: {so_far}");
            self.read.extend(&buffer[..count]);
        }
    }

    /// All of it.
    pub fn finish(mut self) -> Reply {
        // What was not read when the other side closed in anger is lost.
        _ = self.socket.read_to_end(&mut self.read);
        Reply::parse(&self.read)
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In small letters, a line each.
    pub headers: String,
    pub body: String,
}

impl Reply {
    pub fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        _ = socket.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Self {
                status: 0,
                headers: String::new(),
                body: String::from_utf8_lossy(bytes).into_owned(),
            };
        };
        let headers = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = headers
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = &bytes[end + 4..];
        let body = if headers.contains("transfer-encoding: chunked") {
            dechunk(body)
        } else {
            body.to_vec()
        };
        Self {
            status: status.expect("a status"),
            headers,
            body: String::from_utf8(body).expect("UTF-8"),
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error that it has to be.
    #[track_caller]
    pub fn error(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.json()["error"].take();
        let keys: Vec<_> = error
            .as_object()
            .expect("an error")
            .keys()
            .cloned()
            .collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        error
    }

    /// The objects of a stream that came to its end.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.headers.contains("content-type: text/event-stream"));
        let lines = self.body.lines().filter(|line| !line.is_empty());
        let data: Vec<_> = lines
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let (last, objects) = data.split_last().expect("events");
        assert_eq!(*last, "[DONE]", "{self:?}");
        let parse = |data: &&str| serde_json::from_str(data).expect("JSON");
        objects.iter().map(parse).collect()
    }
}

/// What stands in chunks, as far as it goes.
fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..line]);
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        if size == 0 || bytes.len() < line + 2 + size {
            break;
        }
        whole.extend(&bytes[line + 2..][..size]);
        bytes = bytes.get(line + 4 + size..).unwrap_or_default();
    }
    whole
}

/// A request of a conversation.
pub fn question(text: &str) -> Value {
    json!({
        "model": "demo",
        "messages": [{ "role": "user", "content": text }],
        "temperature": 0,
        "max_tokens": 400,
    })
}

/// A stream of random words that goes on until the context is full.
pub fn endless(text: &str) -> Value {
    json!({
        "messages": [{ "role": "user", "content": text }],
        "temperature": 100, "top_p": 1, "seed": 1, "max_tokens": CONTEXT, "stream": true,
    })
}

/// Of a stream's objects, what one of the deltas' fields says altogether.
pub fn joined(events: &[Value], field: &str) -> String {
    let deltas = events.iter().map(|event| &event["choices"][0]["delta"]);
    deltas.filter_map(|delta| delta[field].as_str()).collect()
}

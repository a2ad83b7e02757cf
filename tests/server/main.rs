//! The server on real sockets: replies, refusals, clients that go away, and its end.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/poisoned.rs"]
mod poisoned;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/server.rs"]
mod server;

mod disconnects;
mod faults;
mod fields;
mod metrics;
mod openapi;
mod protection;
mod replies;
mod stopping;

//! What has to be fast by the clock. Each test has the processor to itself, as far as it is up to the tests.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/engines.rs"]
mod engines;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/server.rs"]
mod server;

// Unoptimised code takes several times as long.
#[cfg(not(debug_assertions))]
mod launches;
mod slots;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test of these runs.
fn alone() -> MutexGuard<'static, ()> {
    static PROCESSOR: Mutex<()> = Mutex::new(());
    // One that failed runs no more.
    PROCESSOR.lock().unwrap_or_else(PoisonError::into_inner)
}

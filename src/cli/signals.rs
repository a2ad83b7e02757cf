//! Being told to stop.

use std::future::Future;

use tiefsee::{Error, Result};

use super::interrupt::Interrupts;
use super::output::note;

/// Returns when the program is told to stop: by Ctrl-C, or SIGTERM where there is such a thing. Who says it
/// twice does not want to wait.
///
/// # Errors
/// [`Error::Internal`] if the system refuses to tell.
pub(crate) fn stop() -> Result<impl Future<Output = ()>> {
    let mut signals =
        listen().map_err(|error| Error::Internal(format!("signals cannot be caught: {error}")))?;
    Ok(async move {
        signals.next().await;
        note("stopping; answers under way come to their end");
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(i32::from(Interrupts::STATUS));
        });
    })
}

#[cfg(unix)]
mod system {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
    }

    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    impl Signals {
        pub(super) async fn next(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => (),
                _ = self.terminate.recv() => (),
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    pub(super) struct Signals;

    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    impl Signals {
        pub(super) async fn next(&mut self) {
            // Without it only the end of the process stops the server.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

use system::listen;

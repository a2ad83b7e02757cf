//! What all requests share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedSender;

use super::engine::Job;
use super::errors::Refusal;
use super::lifecycle::{Lifecycle, Ticket};
use super::metrics::Metrics;
use super::options::ServerOptions;
use crate::llm::{Card, Language};

/// Of a server.
pub(super) struct App {
    pub(super) options: ServerOptions,
    pub(super) address: SocketAddr,
    pub(super) lifecycle: Arc<Lifecycle>,
    /// What the model reads and writes, once it is loaded.
    pub(super) language: OnceLock<Arc<Language>>,
    /// What else is known of it, once it is loaded.
    pub(super) card: OnceLock<Card>,
    /// The hash of its file, once that has been read.
    pub(super) sha256: OnceLock<String>,
    jobs: Mutex<Option<UnboundedSender<Job>>>,
    pub(super) metrics: Metrics,
    started: Duration,
}

impl App {
    pub(super) fn new(options: ServerOptions, address: SocketAddr) -> Self {
        Self {
            metrics: Metrics::new(&options.model),
            options,
            address,
            lifecycle: Arc::new(Lifecycle::new()),
            language: OnceLock::new(),
            card: OnceLock::new(),
            sha256: OnceLock::new(),
            jobs: Mutex::new(None),
            started: now(),
        }
    }

    /// What the model reads and writes.
    ///
    /// # Errors
    /// 503 unless the model is ready for requests, 429 if too many wait already.
    pub(super) fn ready(&self) -> Result<&Arc<Language>, Refusal> {
        if let Some(obstacle) = self.lifecycle.obstacle() {
            return Err(Refusal::unavailable(obstacle));
        }
        self.language
            .get()
            .ok_or_else(|| Refusal::unavailable("the model is being loaded"))
    }

    /// Room for `count` answers.
    ///
    /// # Errors
    /// 429 if too many wait already.
    pub(super) fn admit(&self, count: usize) -> Result<Ticket, Refusal> {
        let most = self.options.slots + self.options.queue;
        let admitted = self.lifecycle.admit(count, most);
        admitted.ok_or_else(|| Refusal::full(most))
    }

    /// Where jobs go from now on.
    pub(super) fn open(&self, jobs: UnboundedSender<Job>) {
        *self.jobs() = Some(jobs);
    }

    /// Takes no more jobs, which ends the engine when it has done those that it has.
    pub(super) fn close(&self) {
        *self.jobs() = None;
    }

    /// Hands a job to the engine.
    ///
    /// # Errors
    /// 503 if it is gone.
    pub(super) fn submit(&self, job: Job) -> Result<(), Refusal> {
        let gone = || Refusal::unavailable("the server is shutting down");
        let jobs = self.jobs();
        let jobs = jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<UnboundedSender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds from 1970 to the server's start.
    pub(super) fn started(&self) -> u64 {
        self.started.as_secs()
    }
}

/// Time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

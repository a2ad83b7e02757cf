//! What the server can do just now, and how much it has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// What the model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Loading,
    Ready,
    /// The device was lost and is being opened again.
    Recovering,
}

/// Stage, end and work of a server.
pub(super) struct Lifecycle {
    stage: watch::Sender<Stage>,
    draining: AtomicBool,
    /// Answers that clients wait for.
    active: watch::Sender<usize>,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Loading),
            draining: AtomicBool::new(false),
            active: watch::Sender::new(0),
        }
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage
            .send_if_modified(|now| std::mem::replace(now, stage) != stage);
    }

    /// Takes on nothing more.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_loaded(&self) -> bool {
        *self.stage.borrow() != Stage::Loading
    }

    /// Why no request is taken on, if none is.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("the server is shutting down");
        }
        match *self.stage.borrow() {
            Stage::Loading => Some("the model is being loaded"),
            Stage::Recovering => Some("the device was lost and is being opened again"),
            Stage::Ready => None,
        }
    }

    /// Returns when nobody waits for an answer.
    pub(super) async fn idle(&self) {
        // The sender lives as long as this does.
        _ = self
            .active
            .subscribe()
            .wait_for(|active| *active == 0)
            .await;
    }

    /// Takes on `count` answers if fewer than `most` are; they count until the ticket is dropped.
    pub(super) fn admit(self: &Arc<Self>, count: usize, most: usize) -> Option<Ticket> {
        let admitted = self.active.send_if_modified(|active| {
            let has_room = *active < most;
            *active += if has_room { count } else { 0 };
            has_room
        });
        admitted.then(|| Ticket {
            lifecycle: Arc::clone(self),
            count,
        })
    }
}

/// Answers that were taken on.
pub(super) struct Ticket {
    lifecycle: Arc<Lifecycle>,
    count: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lifecycle
            .active
            .send_modify(|active| *active -= self.count);
    }
}

//! The thread that the model runs on: jobs in, updates out.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pollster::block_on;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::app::App;
use super::lifecycle::{Stage, Ticket};
use crate::error::{Error, Result};
use crate::llm::{AnswerId, GenerateOptions, Llm, Update, weights_sha256};
use crate::text::Prompt;

/// What the last step may take when the server stops.
pub(super) const LAST_STEP: Duration = Duration::from_secs(5);
/// Between attempts to open a device that was lost.
const REOPENING: Duration = Duration::from_secs(1);

/// What the engine says to a client: an update of the answer with this number, or why there is none.
pub(super) type Said = std::result::Result<(usize, Update), Arc<Error>>;

/// Answers that a client wants.
pub(super) struct Job {
    /// What to answer, and how.
    pub(super) answers: Vec<(Prompt, GenerateOptions)>,
    /// Hears first whether all of them could be begun.
    pub(super) begun: oneshot::Sender<Result<()>>,
    /// Hears what becomes of them. They are cancelled when nobody listens any more.
    pub(super) updates: UnboundedSender<Said>,
    /// Their place among all that is under way.
    pub(super) ticket: Ticket,
}

/// Starts the thread. The receiver gets its end: an error of `load`, or nothing after [`App::close`].
pub(super) fn start(
    app: Arc<App>,
    load: impl FnOnce() -> Result<Llm> + Send + 'static,
) -> oneshot::Receiver<Result<()>> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        // Nobody listens if the server is gone already.
        _ = ended.send(load().map(|llm| run(&app, llm)));
    });
    end
}

fn run(app: &Arc<App>, llm: Llm) {
    _ = app.language.set(Arc::clone(llm.language()));
    // Without either of them clients are told less.
    _ = block_on(llm.card()).map(|card| app.card.set(card));
    hash(app);
    let (sender, jobs) = unbounded_channel();
    app.open(sender);
    app.lifecycle.enter(Stage::Ready);
    let mut desk = Desk {
        llm,
        app,
        seats: HashMap::new(),
    };
    desk.serve(jobs);
}

/// Finds the hash of the model's file meanwhile: a large one takes a while to read.
fn hash(app: &Arc<App>) {
    let app = Arc::clone(app);
    thread::spawn(move || {
        let weights = app.options.weights.as_deref()?;
        let found = block_on(weights_sha256(weights)).ok()??;
        app.sha256.set(found).ok()
    });
}

/// The model and those who wait for it.
struct Desk<'a> {
    llm: Llm,
    app: &'a App,
    seats: HashMap<AnswerId, Seat>,
}

/// Whose answer it is.
struct Seat {
    client: Rc<Client>,
    /// Which of the client's answers.
    index: usize,
    has_begun: bool,
}

struct Client {
    updates: UnboundedSender<Said>,
    since: Instant,
    /// Given back with the last of its answers.
    _ticket: Ticket,
}

impl Desk<'_> {
    /// Works until there are no more jobs to come.
    fn serve(&mut self, mut jobs: UnboundedReceiver<Job>) {
        loop {
            if self.llm.is_idle() {
                match jobs.blocking_recv() {
                    Some(job) => self.begin(job),
                    None => return,
                }
            }
            while let Ok(job) = jobs.try_recv() {
                self.begin(job);
            }
            self.forget_the_gone();
            let said = block_on(self.llm.step());
            self.app.metrics.busy(self.llm.engine());
            match said {
                Ok(said) => {
                    let lost = |(_, update): &(_, Result<Update>)| {
                        matches!(
                            update,
                            Ok(Update::DeviceLost(_)) | Err(Error::DeviceLost(_))
                        )
                    };
                    let stage = if said.iter().any(lost) {
                        self.app.metrics.lost();
                        Stage::Recovering
                    } else {
                        Stage::Ready
                    };
                    self.app.lifecycle.enter(stage);
                    for (id, update) in said {
                        self.tell(id, update);
                    }
                }
                Err(error) => {
                    self.fail(error);
                    if !self.llm.is_idle() {
                        // Nothing is under way, so what is left to do is to open the device.
                        self.app.lifecycle.enter(Stage::Recovering);
                        thread::sleep(REOPENING);
                    }
                }
            }
        }
    }

    fn begin(&mut self, job: Job) {
        let Job {
            answers,
            begun,
            updates,
            ticket,
        } = job;
        let mut ids = Vec::new();
        for (prompt, options) in &answers {
            match self.llm.begin(prompt, options) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    for id in ids {
                        self.llm.cancel(id);
                    }
                    _ = begun.send(Err(error));
                    return;
                }
            }
        }
        let client = Rc::new(Client {
            updates,
            since: Instant::now(),
            _ticket: ticket,
        });
        for (index, id) in ids.into_iter().enumerate() {
            let seat = Seat {
                client: Rc::clone(&client),
                index,
                has_begun: false,
            };
            self.seats.insert(id, seat);
        }
        self.app.metrics.busy(self.llm.engine());
        // Who has gone meanwhile is noticed before the next step.
        _ = begun.send(Ok(()));
    }

    fn forget_the_gone(&mut self) {
        let (llm, metrics) = (&mut self.llm, &self.app.metrics);
        self.seats.retain(|&id, seat| {
            let stays = !seat.client.updates.is_closed();
            if !stays {
                llm.cancel(id);
                metrics.cancelled();
            }
            stays
        });
    }

    fn tell(&mut self, id: AnswerId, update: Result<Update>) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        let (client, metrics) = (&seat.client, &self.app.metrics);
        let is_over = matches!(update, Ok(Update::Done(_)) | Err(_));
        match &update {
            Ok(Update::Text(_)) if !std::mem::replace(&mut seat.has_begun, true) => {
                metrics.began(client.since.elapsed());
            }
            Ok(Update::Done(completion)) => metrics.done(completion, client.since.elapsed()),
            Err(_) => metrics.failed(),
            Ok(_) => {}
        }
        let (index, updates) = (seat.index, client.updates.clone());
        if is_over {
            // The place is free before the client hears the end: its next request may come at once.
            self.seats.remove(&id);
        }
        // Who has gone is noticed before the next step.
        _ = match update {
            Ok(update) => updates.send(Ok((index, update))),
            Err(error) => updates.send(Err(Arc::new(error))),
        };
    }

    /// Tells everybody that nothing comes any more.
    fn fail(&mut self, error: Error) {
        let error = Arc::new(error);
        for (_, seat) in self.seats.drain() {
            self.app.metrics.failed();
            _ = seat.client.updates.send(Err(Arc::clone(&error)));
        }
    }
}

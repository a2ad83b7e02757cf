//! Answers that are under way together, and one alone, which is the same with nobody beside it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::task::Poll;

use futures::future::LocalBoxFuture;
use futures::{Stream, stream};

use super::answer::{Answer, Update};
use super::{GenerateOptions, Llm};
use crate::engine::{Event, FinishReason, SequenceId};
use crate::error::{Error, Result};
use crate::text::Prompt;

/// Names an answer; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerId(u64);

/// What is under way, and what nobody has been told yet.
#[derive(Default)]
pub(super) struct Answers {
    /// In the order in which they began.
    under_way: BTreeMap<AnswerId, UnderWay>,
    sequences: HashMap<SequenceId, AnswerId>,
    ready: VecDeque<(AnswerId, Result<Update>)>,
    next_id: u64,
    /// Whether the device is gone, so that it has to be opened before anything else.
    device_is_lost: bool,
}

struct UnderWay {
    answer: Answer,
    sequence: SequenceId,
}

impl Answers {
    fn insert(&mut self, id: AnswerId, answer: Answer, sequence: SequenceId) {
        self.sequences.insert(sequence, id);
        self.under_way.insert(id, UnderWay { answer, sequence });
    }

    fn remove(&mut self, id: AnswerId) -> Option<UnderWay> {
        let found = self.under_way.remove(&id)?;
        self.sequences.remove(&found.sequence);
        Some(found)
    }

    /// Turns what happened to a sequence into what its answer says. The sequence's name, if a stop
    /// string ended the answer and the engine has to be told.
    fn take(&mut self, event: Event) -> Option<SequenceId> {
        let sequence = event.sequence();
        // What comes after a stop string or a cancellation is of no use.
        let id = *self.sequences.get(&sequence)?;
        let ready = &mut self.ready;
        let mut tell = |update| ready.push_back((id, Ok(update)));
        match event {
            Event::Routes(_, routes) => tell(Update::Routes(routes)),
            Event::Token(_, chosen) => {
                let answer = &mut self.under_way.get_mut(&id)?.answer;
                let stopped = answer.token(chosen, &mut tell);
                if stopped {
                    self.finish(id, FinishReason::Stop);
                    return Some(sequence);
                }
            }
            Event::Began(_, cached) => self.under_way.get_mut(&id)?.answer.cached(cached),
            Event::Prompt(_, logprobs) => {
                let answer = &mut self.under_way.get_mut(&id)?.answer;
                answer.prompt(logprobs, &mut tell);
            }
            Event::Finished(_, reason) => self.finish(id, reason),
            Event::Failed(_, error) => {
                self.remove(id);
                self.ready.push_back((id, Err(error)));
            }
        }
        None
    }

    fn finish(&mut self, id: AnswerId, reason: FinishReason) {
        if let Some(UnderWay { answer, .. }) = self.remove(id) {
            let ready = &mut self.ready;
            answer.finish(reason, &mut |update| ready.push_back((id, Ok(update))));
        }
    }

    /// Tells every answer that the device is gone. Those that lost one before end: whatever they make
    /// the device do may be what it does not survive.
    fn lose_device(&mut self, why: &str) {
        self.device_is_lost = true;
        let ids: Vec<_> = self.under_way.keys().copied().collect();
        for id in ids {
            let under_way = self.under_way.get_mut(&id);
            let again = under_way
                .is_some_and(|it| std::mem::replace(&mut it.answer.has_lost_a_device, true));
            let why = why.to_owned();
            let said = if again {
                self.remove(id);
                Err(Error::DeviceLost(why))
            } else {
                Ok(Update::DeviceLost(why))
            };
            self.ready.push_back((id, said));
        }
    }

    /// The next update of one answer.
    fn next_of(&mut self, id: AnswerId) -> Option<Result<Update>> {
        let index = self.ready.iter().position(|(whose, _)| *whose == id)?;
        self.ready.remove(index).map(|(_, update)| update)
    }
}

impl Llm {
    /// Begins an answer beside those that are under way; [`Llm::step`] tells what becomes of it.
    ///
    /// # Errors
    /// [`Error::ContextExceeded`] or [`Error::Usage`] for what cannot be begun.
    pub fn begin(&mut self, prompt: &Prompt, options: &GenerateOptions) -> Result<AnswerId> {
        let answer = Answer::new(&self.language, prompt, options)?;
        let sequence = self.engine.add(answer.request())?;
        let id = AnswerId(self.answers.next_id);
        self.answers.next_id += 1;
        self.answers.insert(id, answer, sequence);
        Ok(id)
    }

    /// Drops an answer, whatever it is doing; nothing more is told of it.
    pub fn cancel(&mut self, id: AnswerId) {
        self.answers.ready.retain(|(whose, _)| *whose != id);
        if let Some(UnderWay { sequence, .. }) = self.answers.remove(id) {
            self.engine.cancel(sequence);
        }
    }

    /// Whether there is nothing to do: no answer is under way, everything has been told, and the device
    /// is there.
    pub fn is_idle(&self) -> bool {
        let Answers {
            under_way,
            ready,
            device_is_lost,
            ..
        } = &self.answers;
        under_way.is_empty() && ready.is_empty() && !device_is_lost
    }

    /// Lets all answers go on by a step of the engine, and tells what came of it: parts of answers,
    /// an [`Update::Done`] or an error for each that ended. It has to be awaited to its end.
    ///
    /// A lost device is told to all answers; the next step opens it again, and they go on from their
    /// tokens. An answer that loses the device a second time fails.
    ///
    /// # Errors
    /// What ends all answers at once: a device that does not come back, or fails in another way.
    pub async fn step(&mut self) -> Result<Vec<(AnswerId, Result<Update>)>> {
        if self.answers.ready.is_empty() {
            self.advance().await?;
        }
        Ok(self.answers.ready.drain(..).collect())
    }

    fn advance(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            let advanced = if self.answers.device_is_lost {
                self.reopen().await
            } else {
                self.run_step().await
            };
            if advanced.is_err() {
                for UnderWay { sequence, .. } in
                    std::mem::take(&mut self.answers.under_way).into_values()
                {
                    self.engine.cancel(sequence);
                }
                self.answers.sequences.clear();
            }
            advanced
        })
    }

    async fn run_step(&mut self) -> Result<()> {
        match self.engine.step().await {
            Ok(events) => {
                for event in events {
                    if let Some(stopped) = self.answers.take(event) {
                        self.engine.cancel(stopped);
                    }
                }
            }
            Err(Error::DeviceLost(why)) => self.answers.lose_device(&why),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Opens the device again and has all answers go on from their tokens.
    async fn reopen(&mut self) -> Result<()> {
        self.reload().await?;
        self.answers.device_is_lost = false;
        self.answers.sequences.clear();
        for (id, UnderWay { answer, .. }) in std::mem::take(&mut self.answers.under_way) {
            // Others began while it was gone.
            if answer.has_lost_a_device {
                let reopened = (id, Ok(Update::DeviceReopened));
                self.answers.ready.push_back(reopened);
            }
            match self.engine.add(answer.request()) {
                Ok(sequence) => self.answers.insert(id, answer, sequence),
                Err(error) => self.answers.ready.push_back((id, Err(error))),
            }
        }
        Ok(())
    }

    /// The updates of one new answer; others go on beside it. Dropping the stream cancels it.
    pub(super) fn stream(&mut self, id: AnswerId) -> impl Stream<Item = Result<Update>> + use<'_> {
        Box::pin(stream::try_unfold(
            Alone { llm: self, id },
            |mut alone| async move { Ok(alone.next().await?.map(|update| (update, alone))) },
        ))
    }
}

/// An answer that somebody waits for.
struct Alone<'a> {
    llm: &'a mut Llm,
    id: AnswerId,
}

impl Alone<'_> {
    async fn next(&mut self) -> Result<Option<Update>> {
        loop {
            if let Some(update) = self.llm.answers.next_of(self.id) {
                return update.map(Some);
            }
            if !self.llm.answers.under_way.contains_key(&self.id) {
                return Ok(None);
            }
            self.llm.advance().await?;
            // A long prompt takes many steps without an update: callers may stop in between.
            if self.llm.answers.ready.is_empty() {
                yield_now().await;
            }
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.llm.cancel(self.id);
    }
}

/// Gives the caller a turn.
async fn yield_now() {
    let mut had_its_turn = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had_its_turn, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

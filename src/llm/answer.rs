//! One answer: tokens of the engine to text, until it ends.

use std::future::poll_fn;
use std::task::Poll;

use futures::{Stream, stream};
use web_time::{Duration, Instant};

use super::{GenerateOptions, Llm};
use crate::engine::{Admission, Event, FinishReason, Request, SequenceId, TokenRoutes};
use crate::error::{Error, Result};
use crate::text::{Opening, Piece, Prompt, ReasoningSplitter, Specials, StopStrings, TextStream};

/// A part of an answer, in the order of generation.
#[derive(Clone, Debug)]
pub enum Update {
    /// What was generated, with the markers between thinking and answer: all of it comes once
    /// more, told apart, as the next two.
    Text(String),
    /// What the model thinks.
    Reasoning(String),
    /// What it says.
    Content(String),
    /// The experts of tokens that went through the model, if asked for.
    Routes(TokenRoutes),
    /// The device was lost, for this reason; it is opened again now.
    DeviceLost(String),
    /// The device is open again, and the answer goes on.
    DeviceReopened,
    /// The end.
    Done(Completion),
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Everything generated, with the markers between thinking and answer.
    pub text: String,
    /// What the model thought.
    pub reasoning: String,
    /// What it said.
    pub content: String,
    /// The generated ids, without the one that ended the answer.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// How many tokens it took.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that an earlier prompt left in the cache.
    pub cached_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Those of them that were thinking.
    pub reasoning_tokens: usize,
}

/// Times of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

impl Completion {
    /// Prompt tokens that were run, per second.
    pub fn prefill_rate(&self) -> f64 {
        let tokens = self.usage.prompt_tokens - self.usage.cached_tokens;
        tokens as f64 / self.timings.prefill.as_secs_f64().max(1e-9)
    }

    /// Tokens after the first, per second.
    pub fn decode_rate(&self) -> f64 {
        let tokens = self.usage.completion_tokens.saturating_sub(1);
        tokens as f64 / self.timings.decode.as_secs_f64().max(1e-9)
    }
}

/// What happened to the device during an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Fine,
    Lost,
    Reopened,
}

/// An answer under way.
pub(super) struct Answer<'a> {
    llm: &'a mut Llm,
    id: SequenceId,
    request: Request,
    text: TextStream,
    stop: StopStrings,
    splitter: ReasoningSplitter,
    completion: Completion,
    started: Instant,
    first_token: Option<Instant>,
    device: Device,
    ready: std::collections::VecDeque<Update>,
    over: bool,
}

impl<'a> Answer<'a> {
    pub(super) fn start(
        llm: &'a mut Llm,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<Self> {
        let stop = StopStrings::new(options.stop.clone())?;
        let request = Request {
            tokens: prompt.tokens.clone(),
            resumed: 0,
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            stop_tokens: llm.generation.eos_token_ids.clone(),
            sampling: options.sampling.clone(),
            routes: options.routes,
        };
        let Admission { id, cached_tokens } = llm.engine.add(request.clone())?;
        let usage = Usage {
            prompt_tokens: prompt.tokens.len(),
            cached_tokens,
            ..Usage::default()
        };
        let completion = Completion {
            text: String::new(),
            reasoning: String::new(),
            content: String::new(),
            tokens: Vec::new(),
            finish_reason: FinishReason::Length,
            usage,
            timings: Timings::default(),
        };
        let splitter = ReasoningSplitter::new(Opening::new(&llm.tokenizer, prompt.opens_reasoning));
        Ok(Self {
            text: TextStream::new(llm.tokenizer.clone(), Specials::KeepThink),
            llm,
            id,
            request,
            stop,
            splitter,
            completion,
            started: Instant::now(),
            first_token: None,
            device: Device::Fine,
            ready: std::collections::VecDeque::new(),
            over: false,
        })
    }

    pub(super) fn stream(self) -> impl Stream<Item = Result<Update>> + 'a {
        Box::pin(stream::try_unfold(self, |mut answer| async move {
            Ok(answer.next().await?.map(|update| (update, answer)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Update>> {
        while self.ready.is_empty() && !self.over {
            if self.device == Device::Lost {
                self.reopen().await?;
                continue;
            }
            match self.llm.engine.step().await {
                Ok(events) => {
                    for event in events {
                        self.take(event)?;
                    }
                    // A long prompt takes many steps without an update: callers may stop in between.
                    if self.ready.is_empty() {
                        yield_now().await;
                    }
                }
                // Once, and from the tokens so far: the driver may have been reset.
                Err(Error::DeviceLost(why)) if self.device == Device::Fine => {
                    self.device = Device::Lost;
                    self.ready.push_back(Update::DeviceLost(why));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.ready.pop_front())
    }

    async fn reopen(&mut self) -> Result<()> {
        self.llm.reload().await?;
        self.device = Device::Reopened;
        self.ready.push_back(Update::DeviceReopened);
        let generated = self.completion.tokens.len();
        let mut request = self.request.clone();
        request.tokens.extend(&self.completion.tokens);
        request.resumed = generated;
        request.max_tokens = request.max_tokens.saturating_sub(generated);
        self.id = self.llm.engine.add(request)?.id;
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Routes(id, routes) if id == self.id => {
                self.ready.push_back(Update::Routes(routes));
            }
            Event::Token(id, token) if id == self.id && !self.over => {
                self.first_token.get_or_insert_with(Instant::now);
                self.completion.tokens.push(token);
                if self.splitter.in_reasoning() {
                    self.completion.usage.reasoning_tokens += 1;
                }
                let text = self.text.push(token);
                self.give(&text);
                if self.stop.stopped() {
                    self.llm.engine.cancel(self.id);
                    self.finish(FinishReason::Stop);
                }
            }
            Event::Finished(id, reason) if id == self.id && !self.over => {
                let rest = self.text.finish();
                self.give(&rest);
                let held = self.stop.finish();
                self.split(&held);
                self.finish(reason);
            }
            Event::Failed(id, error) if id == self.id => {
                self.over = true;
                return Err(error);
            }
            // The rest of an answer that was dropped.
            Event::Routes(..) | Event::Token(..) | Event::Finished(..) | Event::Failed(..) => {}
        }
        Ok(())
    }

    fn give(&mut self, text: &str) {
        let text = self.stop.push(text);
        self.split(&text);
    }

    fn split(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.completion.text.push_str(text);
        self.ready.push_back(Update::Text(text.to_owned()));
        for piece in self.splitter.push(text) {
            self.tell(piece);
        }
    }

    fn tell(&mut self, piece: Piece) {
        self.ready.push_back(match piece {
            Piece::Reasoning(text) => {
                self.completion.reasoning.push_str(&text);
                Update::Reasoning(text)
            }
            Piece::Content(text) => {
                self.completion.content.push_str(&text);
                Update::Content(text)
            }
        });
    }

    fn finish(&mut self, reason: FinishReason) {
        for piece in self.splitter.finish() {
            self.tell(piece);
        }
        self.over = true;
        let now = Instant::now();
        let first = self.first_token.unwrap_or(now);
        self.completion.finish_reason = reason;
        self.completion.usage.completion_tokens = self.completion.tokens.len();
        self.completion.timings = Timings {
            prefill: first - self.started,
            decode: now - first,
        };
        self.ready.push_back(Update::Done(self.completion.clone()));
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.llm.engine.cancel(self.id);
        }
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

//! `POST chat/completions` and `POST completions`: from a request to a reply, whole or in pieces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::app::{App, now};
use super::body;
use super::engine::{Job, Said};
use super::errors::Refusal;
use super::models;
use crate::error;
use crate::llm::{Completion, Language, Update};
use crate::openai::{Asked, ChatRequest, CompletionRequest, Reply};

/// Keeps proxies from holding a stream back.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Answers a conversation.
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(app, request, |json, language| {
        ChatRequest::from_json(json)?.ask(language, random())
    })
    .await
}

/// Continues a text.
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(app, request, |json, language| {
        CompletionRequest::from_json(json)?.ask(language, random())
    })
    .await
}

async fn answer(
    app: Arc<App>,
    request: Request,
    read: fn(&str, &Language) -> error::Result<Asked>,
) -> Result<Response, Refusal> {
    let (language, asked) = body::read(&app, request, read).await?;
    models::check(&app, asked.model.as_deref())?;
    let id = format!("{:016x}", random());
    let reply = asked.reply(&language, &id, now().as_secs(), &app.options.model);
    let ticket = app.admit(asked.answers.len())?;
    let open = Open::new(reply, asked.answers.len());
    let (begun, begins) = oneshot::channel();
    let (updates, said) = unbounded_channel();
    app.submit(Job {
        answers: asked.answers,
        begun,
        updates,
        ticket,
    })?;
    let gone = |_| Refusal::unavailable("the server is shutting down");
    begins.await.map_err(gone)??;
    if !asked.stream {
        return Ok(Json(whole(open, said).await?).into_response());
    }
    let patience = app.options.patience.keep_alive;
    let signs = KeepAlive::new().interval(patience).text("keep-alive");
    let events = Sse::new(events(open, said)).keep_alive(signs);
    Ok(([NO_BUFFERING], events).into_response())
}

/// A reply of which not all is known yet.
struct Open {
    reply: Reply,
    completions: Vec<Option<Completion>>,
}

impl Open {
    fn new(reply: Reply, choices: usize) -> Self {
        Self {
            reply,
            completions: vec![None; choices],
        }
    }

    /// Takes note of a choice that is over; all of them, if it was the last.
    fn over(&mut self, choice: usize, completion: Completion) -> Option<Vec<Completion>> {
        self.completions[choice] = Some(completion);
        let all = self.completions.iter().all(Option::is_some);
        all.then(|| self.completions.drain(..).flatten().collect())
    }
}

/// A number that nobody can guess.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The reply as one object.
async fn whole(mut open: Open, mut said: UnboundedReceiver<Said>) -> Result<Value, Refusal> {
    loop {
        match said.recv().await {
            Some(Ok((choice, Update::Done(completion)))) => {
                if let Some(completions) = open.over(choice, completion) {
                    return Ok(open.reply.whole(&completions));
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Refusal::from(error.as_ref())),
            None => return Err(Refusal::unavailable("the server is shutting down")),
        }
    }
}

/// The reply in pieces.
fn events(
    open: Open,
    said: UnboundedReceiver<Said>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let opening = open.reply.opening();
    let pieces = Pieces {
        ready: opening.iter().map(Value::to_string).collect(),
        open,
        said,
        is_over: false,
    };
    stream::unfold(pieces, |mut pieces| async move {
        let data = pieces.next().await?;
        Some((Ok(Event::default().data(data)), pieces))
    })
}

struct Pieces {
    open: Open,
    said: UnboundedReceiver<Said>,
    ready: VecDeque<String>,
    is_over: bool,
}

impl Pieces {
    async fn next(&mut self) -> Option<String> {
        while self.ready.is_empty() && !self.is_over {
            let said = self.said.recv().await;
            let error = match said {
                Some(Ok((choice, update))) => {
                    self.take(choice, update);
                    continue;
                }
                Some(Err(error)) => Refusal::from(error.as_ref()),
                None => Refusal::unavailable("the server is shutting down"),
            };
            self.ready.push_back(error.body().to_string());
            self.is_over = true;
        }
        self.ready.pop_front()
    }

    fn take(&mut self, choice: usize, update: Update) {
        let chunks = self.open.reply.chunks(choice, &update);
        self.ready.extend(chunks.iter().map(Value::to_string));
        let Update::Done(completion) = update else {
            return;
        };
        if let Some(completions) = self.open.over(choice, completion) {
            let usages: Vec<_> = completions.iter().map(|it| it.usage).collect();
            let closing = self.open.reply.closing(&usages);
            self.ready.extend(closing.iter().map(Value::to_string));
            self.ready.push_back("[DONE]".into());
            self.is_over = true;
        }
    }
}

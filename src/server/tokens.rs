//! `POST tokenize`, `POST detokenize`, `POST apply-template` and `GET tokenizer_info`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::Value;

use super::app::App;
use super::body;
use super::errors::Refusal;
use crate::error;
use crate::llm::Language;
use crate::openai;

/// The ids of a text or of a conversation.
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    answer(app, request, openai::tokenize).await
}

/// The text of ids.
pub(super) async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    answer(app, request, openai::detokenize).await
}

/// A conversation as the model reads it.
pub(super) async fn apply_template(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    answer(app, request, openai::apply_template).await
}

/// What is known of the tokenizer.
pub(super) fn info(app: &App) -> Result<Json<Value>, Refusal> {
    Ok(Json(openai::tokenizer_info(app.ready()?)))
}

async fn answer(
    app: Arc<App>,
    request: Request,
    read: fn(&str, &Language) -> error::Result<Value>,
) -> Result<Json<Value>, Refusal> {
    let (_, read) = body::read(&app, request, read).await?;
    Ok(Json(read))
}

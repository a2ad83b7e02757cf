//! Bodies of requests: JSON of a limited size, within a limited time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use futures::StreamExt;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::app::App;
use super::errors::Refusal;
use crate::error::{self, Error};
use crate::llm::Language;

/// The largest body, in bytes.
pub(super) const MOST: usize = 8 << 20;
/// What is read and thrown away of a larger one, so that its client comes to read why it is refused.
const MOST_DISCARDED: usize = 4 * MOST;

/// The text of a request's body.
///
/// # Errors
/// 415 for what does not say that it is JSON, 413 for what is too large, 408 for what is too slow, 400 for
/// what breaks off or is no UTF-8.
async fn json(request: Request, patience: Duration) -> Result<String, Refusal> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return Err(Refusal::not_json());
    }
    // A client that waits for leave to send has sent nothing yet.
    if announced(&head.headers) > MOST && head.headers.contains_key(EXPECT) {
        return Err(Refusal::too_large(MOST));
    }
    let bytes = timeout(patience, bytes(body)).await;
    let bytes = bytes.map_err(|_| Refusal::too_slow())??;
    String::from_utf8(bytes).map_err(|error| Refusal::bad_body(&error.to_string()))
}

async fn bytes(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut total = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Refusal::bad_body(&error.to_string()))?;
        total += chunk.len();
        if total <= MOST {
            bytes.extend_from_slice(&chunk);
        } else if total > MOST_DISCARDED {
            break;
        }
    }
    if total > MOST {
        return Err(Refusal::too_large(MOST));
    }
    Ok(bytes)
}

/// What a handler makes of a request's body, and what the model reads and writes.
///
/// # Errors
/// Those of [`json`], of `make`, and 503 unless the model is ready.
pub(super) async fn read<T: Send + 'static>(
    app: &App,
    request: Request,
    make: fn(&str, &Language) -> error::Result<T>,
) -> Result<(Arc<Language>, T), Refusal> {
    let language = Arc::clone(app.ready()?);
    let json = json(request, app.options.patience.request).await?;
    // Templates, grammars and long texts take a while.
    let reads = Arc::clone(&language);
    let made = spawn_blocking(move || make(&json, &reads)).await;
    let made = made.map_err(|error| Error::Internal(error.to_string()))??;
    Ok((language, made))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

//! What a client gets instead of an answer.

use axum::Json;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::Error;
use crate::openai::refusal;

/// A status with `{"error": {message, type, param, code}}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "message": message, "type": kind, "param": null, "code": code });
        Self {
            status,
            body: json!({ "error": error }),
        }
    }

    /// Later perhaps.
    pub(super) fn unavailable(why: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why)
    }

    /// Too many answers, `most` or more, are under way.
    pub(super) fn full(most: usize) -> Self {
        let message = format!("the queue is full: {most} answers are under way; try again");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", &message)
    }

    /// Nobody knows who asks.
    pub(super) fn unauthorized() -> Self {
        let message =
            "the API key is missing or wrong: send Authorization: Bearer KEY, or x-api-key";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    /// Somebody asks who may not.
    pub(super) fn forbidden(code: &str, message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// There is only the model called `there`.
    pub(super) fn unknown_model(asked: &str, there: &str) -> Self {
        let message = format!("there is no model {asked:?} here, only {there:?}");
        let mut refusal = Self::new(StatusCode::NOT_FOUND, "model_not_found", &message);
        refusal.body["error"]["param"] = "model".into();
        refusal
    }

    /// More than a request may have.
    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("a request has at most {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", &message)
    }

    /// No JSON.
    pub(super) fn not_json() -> Self {
        let message = "requests are JSON: send content-type: application/json";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    }

    /// A body that does not come.
    pub(super) fn too_slow() -> Self {
        let message = "the request's body took too long";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    /// A body that breaks off, or is no text.
    pub(super) fn bad_body(why: &str) -> Self {
        let message = format!("the request's body cannot be read: {why}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", &message)
    }

    /// No such route.
    pub(super) fn unknown_route(uri: &Uri) -> Self {
        let message = format!("there is nothing at {}", uri.path());
        Self::new(StatusCode::NOT_FOUND, "not_found", &message)
    }

    /// A route that knows other methods.
    pub(super) fn unknown_method(method: &Method, uri: &Uri) -> Self {
        let message = format!("{} does not know {method}", uri.path());
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &message,
        )
    }

    /// The object that is sent.
    pub(super) fn body(&self) -> &Value {
        &self.body
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let status = match error {
            Error::Usage(_)
            | Error::Parameter { .. }
            | Error::ContextExceeded { .. }
            | Error::NotFound(_)
            | Error::Template(_) => StatusCode::BAD_REQUEST,
            Error::DeviceLost(_) | Error::NoAdapter(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut body = refusal(error);
        if matches!(error, Error::NonFinite { .. }) {
            body["error"]["code"] = "non_finite_logits".into();
        }
        Self { status, body }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

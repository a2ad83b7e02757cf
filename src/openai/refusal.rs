//! What a client gets instead of an answer.

use serde_json::{Value, json};

use crate::error::Error;

/// The error's name for programs.
pub fn error_code(error: &Error) -> &'static str {
    match error {
        Error::Usage(_) | Error::Parameter { .. } => "usage",
        Error::ContextExceeded { .. } => "context_length_exceeded",
        Error::NotFound(_) => "not_found",
        Error::Io { .. } | Error::Damaged { .. } => "damaged",
        Error::Unsupported { .. } => "unsupported",
        Error::Template(_) => "template",
        Error::NoAdapter(_) => "no_adapter",
        Error::DoesNotFit(_) => "does_not_fit",
        Error::Address { .. } => "address",
        Error::DeviceLost(_) => "device_lost",
        Error::NonFinite { .. } => "non_finite",
        Error::Internal(_) => "internal",
    }
}

/// `{"error": {message, type, param, code}}`, as OpenAI's clients expect it.
pub fn refusal(error: &Error) -> Value {
    let kind = match error {
        Error::Usage(_) | Error::Parameter { .. } | Error::ContextExceeded { .. } => {
            "invalid_request_error"
        }
        _ => "server_error",
    };
    let param = match error {
        Error::Parameter { name, .. } => Some(name.as_str()),
        Error::ContextExceeded { .. } => Some("messages"),
        _ => None,
    };
    let message = match error {
        // Clients look for these words.
        Error::ContextExceeded { prompt, context } => format!(
            "This model's maximum context length is {context} tokens. However, your messages resulted in \
             {prompt} tokens. Please reduce the length of the messages."
        ),
        error => error.to_string(),
    };
    json!({ "error": {
        "message": message,
        "type": kind,
        "param": param,
        "code": error_code(error),
    } })
}

//! How likely tokens were, in the shapes of the two kinds of reply.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::llm::ScoredToken;
use crate::text::Tokenizer;

/// Neighbouring tokens.
pub(super) type Tokens = Vec<ScoredToken>;

/// What stands for minus infinity, which JSON does not have.
const IMPOSSIBLE: f64 = -9999.0;

/// `{content: [..], reasoning_content: [..]}`; null if there are none.
pub(super) fn chat_logprobs(tokenizer: &Tokenizer, tokens: &Tokens) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let part = |reasoning: bool| {
        let tokens = tokens.iter().filter(|token| token.reasoning == reasoning);
        let tokens: Vec<_> = tokens.map(|token| entry(tokenizer, token)).collect();
        (!tokens.is_empty()).then_some(tokens)
    };
    json!({ "content": part(false).unwrap_or_default(), "reasoning_content": part(true), "refusal": null })
}

fn entry(tokenizer: &Tokenizer, token: &ScoredToken) -> Value {
    let likely = |token: u32, logprob: f64| {
        let bytes = tokenizer.token_bytes(token);
        json!({ "token": String::from_utf8_lossy(&bytes), "logprob": finite(logprob), "bytes": bytes })
    };
    let (logprob, best) = match &token.logprobs {
        Some(it) => (it.logprob, it.best.as_slice()),
        None => (0.0, &[][..]),
    };
    let mut entry = likely(token.token, logprob);
    entry["top_logprobs"] = best.iter().map(|&(token, it)| likely(token, it)).collect();
    entry
}

/// `{tokens, token_logprobs, top_logprobs, text_offset}`; null if there are none. `characters` is how
/// many the text before them has, and then with them.
pub(super) fn text_logprobs(
    tokenizer: &Tokenizer,
    tokens: &Tokens,
    characters: &mut usize,
) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(*characters);
        // Bytes that begin a character.
        let bytes = tokenizer.token_bytes(token.token);
        *characters += bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    }
    let name = |token| name(tokenizer, token);
    let best = |token: &ScoredToken| {
        let logprobs = token.logprobs.as_ref()?;
        let best = logprobs.best.iter();
        let best = best.map(|&(token, logprob)| (name(token), finite(logprob)));
        Some(Value::Object(best.collect::<Map<_, _>>()))
    };
    let logprob = |token: &ScoredToken| Some(finite(token.logprobs.as_ref()?.logprob));
    json!({
        "tokens": tokens.iter().map(|token| name(token.token)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(best).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

/// A token's text; parts of characters as OpenAI writes them, so that no two are the same.
fn name(tokenizer: &Tokenizer, token: u32) -> String {
    String::from_utf8(tokenizer.token_bytes(token)).unwrap_or_else(|error| {
        let mut name = String::from("bytes:");
        for byte in error.as_bytes() {
            _ = write!(name, "\\x{byte:02x}");
        }
        name
    })
}

fn finite(logprob: f64) -> Value {
    json!(logprob.max(IMPOSSIBLE))
}

//! Words to ids and back, and what a conversation looks like to the model.

use serde_json::{Value, json};

use super::chat::ChatRequest;
use super::fields::{Fields, wrong};
use crate::error::Result;
use crate::llm::Language;
use crate::text::Specials;

/// `POST tokenize`: the ids of `prompt` (or `content`) or of a conversation's `messages`.
///
/// # Errors
/// [`crate::error::Error::Parameter`] naming the field, [`crate::error::Error::Usage`] for what is no JSON object.
pub fn tokenize(json: &str, language: &Language) -> Result<Value> {
    let fields = Fields::parse(json)?;
    let (tokenizer, special) = (language.tokenizer(), "add_special_tokens");
    let tokens = if fields.get::<Value>("messages")?.is_some() {
        ChatRequest::from_json(json)?.prompt(language)?.tokens
    } else {
        let text: String = match fields.get("content")? {
            Some(text) => text,
            None => fields.need("prompt")?,
        };
        if fields.get(special)?.unwrap_or(true) && !text.is_empty() {
            language.raw_prompt(&text)?.tokens
        } else {
            tokenizer.encode_with_specials(&text)?
        }
    };
    let texts = fields.get("return_token_strs")?.unwrap_or(false);
    let text = |&token: &u32| tokenizer.decode(&[token], Specials::Keep);
    Ok(json!({
        "tokens": tokens,
        "count": tokens.len(),
        "max_model_len": language.context(),
        "token_strs": texts.then(|| tokens.iter().map(text).collect::<Vec<_>>()),
    }))
}

/// `POST detokenize`: the text of `tokens`, special ones included.
///
/// # Errors
/// As [`tokenize`], and for ids that are not below the vocabulary.
pub fn detokenize(json: &str, language: &Language) -> Result<Value> {
    let tokens: Vec<u32> = Fields::parse(json)?.need("tokens")?;
    let vocabulary = language.tokenizer().vocabulary();
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        let what = format!("has token {token}, which is not below {vocabulary}");
        return Err(wrong("tokens", what));
    }
    let text = language.tokenizer().decode(&tokens, Specials::Keep);
    // The first is vLLM's name, the second llama.cpp's.
    Ok(json!({ "prompt": text, "content": text }))
}

/// `POST apply-template`: a conversation as the model reads it.
///
/// # Errors
/// As [`ChatRequest::from_json`] and [`Language::prompt`].
pub fn apply_template(json: &str, language: &Language) -> Result<Value> {
    let prompt = ChatRequest::from_json(json)?.prompt(language)?;
    let text = language.tokenizer().decode(&prompt.tokens, Specials::Keep);
    Ok(json!({ "prompt": text, "tokens": prompt.tokens.len() }))
}

/// `GET tokenizer_info`.
pub fn tokenizer_info(language: &Language) -> Value {
    let end = language.stop_tokens().first();
    let text = |&token: &u32| language.tokenizer().decode(&[token], Specials::Keep);
    json!({
        "tokenizer_class": "byte-level BPE",
        "vocab_size": language.tokenizer().vocabulary(),
        "max_model_len": language.context(),
        "eos_token": end.map(text),
        "eos_token_ids": language.stop_tokens(),
        "chat_template": language.template_source(),
    })
}

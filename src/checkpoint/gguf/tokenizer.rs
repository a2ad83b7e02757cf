//! Metadata as the texts that Hugging Face has beside a config.json.

use std::collections::HashSet;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::metadata::{Metadata, MetadataValue};
use super::pretokenizer::{NAMES, Rules, rules};
use crate::error::{Error, Result};

pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";

/// Types of tokens.
pub(super) const CONTROL: u64 = 3;
pub(super) const USER_DEFINED: u64 = 4;
pub(super) const UNUSED: u64 = 5;

/// The tokens that stand for something, whatever their types say.
const NAMED: [&str; 5] = ["bos", "eos", "eot", "eom", "padding"];

/// The text of `file`, as it would be in a folder; `None` if there would be no such file.
pub(in crate::checkpoint) fn text(
    path: &str,
    metadata: &Metadata,
    file: &str,
) -> Result<Option<String>> {
    let keys = Keys { path, metadata };
    match file {
        "tokenizer.json" => tokenizer(&keys),
        "tokenizer_config.json" => tokenizer_config(&keys).map(Some),
        "generation_config.json" => generation_config(&keys).map(Some),
        _ => Ok(None),
    }
}

/// The keys of a file's tokenizer.
struct Keys<'m> {
    path: &'m str,
    metadata: &'m Metadata,
}

impl<'m> Keys<'m> {
    fn damaged(&self, key: &str, is: &str) -> Error {
        Error::damaged(self.path, format!("metadata `{key}` {is}"))
    }

    fn get(&self, key: &str) -> Option<&'m MetadataValue> {
        self.metadata.get(key)
    }

    fn text(&self, key: &str) -> Result<Option<&'m str>> {
        self.read(key, "a text", MetadataValue::as_str)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", MetadataValue::as_bool)
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<&'m str>>> {
        self.read(key, "a list of texts", |value| {
            Some(value.texts()?.collect())
        })
    }

    fn read<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'m MetadataValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let damaged = || self.damaged(key, &format!("is {}, not {what}", value.brief()));
        read(value).map(Some).ok_or_else(damaged)
    }

    /// The id of a token that stands for something.
    fn id(&self, name: &str) -> Result<Option<u64>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        self.read(&key, "an id", MetadataValue::as_u64)
    }

    /// The text of such a token.
    fn named(&self, name: &str) -> Result<Option<&'m str>> {
        let Some(id) = self.id(name)? else {
            return Ok(None);
        };
        let tokens = self.get(TOKENS).and_then(MetadataValue::texts);
        let Some(mut tokens) = tokens else {
            return Ok(None);
        };
        let token = usize::try_from(id).ok().and_then(|id| tokens.nth(id));
        token.map(Some).ok_or_else(|| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            self.damaged(&key, &format!("is {id}, but there is no such token"))
        })
    }

    fn rules(&self) -> Result<Rules> {
        let name = self.text(PRE)?.unwrap_or("default");
        rules(name).ok_or_else(|| {
            let what =
                format!("metadata `{PRE}` is {name:?}, which is not supported; there is {NAMES}");
            Error::unsupported(self.path, what)
        })
    }
}

/// tokenizer.json, written without a copy of the tokens.
#[derive(Serialize)]
struct File<'m> {
    version: &'static str,
    added_tokens: Vec<Value>,
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Model<'m>,
}

#[derive(Serialize)]
struct Model<'m> {
    r#type: &'static str,
    ignore_merges: bool,
    vocab: Vocabulary<'m>,
    merges: Vec<&'m str>,
}

/// Tokens and their ids.
struct Vocabulary<'m>(Vec<(&'m str, usize)>);

impl Serialize for Vocabulary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn tokenizer(keys: &Keys) -> Result<Option<String>> {
    match keys.text(MODEL)? {
        None | Some("none" | "no_vocab") => return Ok(None),
        Some("gpt2") => {}
        Some(other) => {
            let what = format!(
                "metadata `{MODEL}` is {other:?}, which is not supported; there is gpt2 (byte-level BPE)"
            );
            return Err(Error::unsupported(keys.path, what));
        }
    }
    let missing = |key| keys.damaged(key, "is missing");
    let rules = keys.rules()?;
    let tokens = keys.texts(TOKENS)?.ok_or_else(|| missing(TOKENS))?;
    let types = token_types(keys, tokens.len())?;
    let mut seen = HashSet::with_capacity(tokens.len());
    if let Some(id) = tokens.iter().position(|token| !seen.insert(token)) {
        return Err(keys.damaged(TOKENS, &format!("has {:?} twice", tokens[id])));
    }
    let mut vocabulary = Vec::with_capacity(tokens.len());
    let mut added = Vec::new();
    for ((id, token), kind) in tokens.into_iter().enumerate().zip(types) {
        match kind {
            CONTROL | USER_DEFINED => {
                added.push(json!({"id": id, "content": token, "special": kind == CONTROL}));
            }
            // They fill the table of embeddings up.
            UNUSED => {}
            _ => vocabulary.push((token, id)),
        }
    }
    let file = File {
        version: "1.0",
        added_tokens: added,
        normalizer: rules.normalizer,
        pre_tokenizer: rules.pre_tokenizer,
        decoder: json!({"type": "ByteLevel"}),
        model: Model {
            r#type: "BPE",
            ignore_merges: rules.ignore_merges,
            vocab: Vocabulary(vocabulary),
            merges: keys.texts(MERGES)?.ok_or_else(|| missing(MERGES))?,
        },
    };
    let text = serde_json::to_string(&file);
    text.map(Some)
        .map_err(|error| Error::Internal(error.to_string()))
}

/// The type of each token.
fn token_types(keys: &Keys, tokens: usize) -> Result<Vec<u64>> {
    let types = keys.read(TYPES, "a list of types", MetadataValue::integers)?;
    let mut types = types.unwrap_or_else(|| vec![1; tokens]);
    if types.len() != tokens {
        let what = format!("has {} types of {tokens} tokens", types.len());
        return Err(keys.damaged(TYPES, &what));
    }
    for name in NAMED {
        let Some(id) = keys.id(name)? else {
            continue;
        };
        let kind = usize::try_from(id).ok().and_then(|id| types.get_mut(id));
        let Some(kind) = kind else {
            let key = format!("tokenizer.ggml.{name}_token_id");
            return Err(keys.damaged(&key, &format!("is {id}, but there are {tokens} tokens")));
        };
        *kind = CONTROL;
    }
    Ok(types)
}

fn tokenizer_config(keys: &Keys) -> Result<String> {
    let mut config = Map::new();
    for (name, field) in [
        ("bos", "bos_token"),
        ("eos", "eos_token"),
        ("padding", "pad_token"),
    ] {
        if let Some(token) = keys.named(name)? {
            config.insert(field.into(), token.into());
        }
    }
    let add_bos = match keys.flag("tokenizer.ggml.add_bos_token")? {
        Some(add_bos) => add_bos,
        None => keys.rules().is_ok_and(|rules| rules.add_bos),
    };
    config.insert("add_bos_token".into(), add_bos.into());
    if let Some(template) = keys.text("tokenizer.chat_template")? {
        config.insert("chat_template".into(), template.into());
    }
    Ok(Value::Object(config).to_string())
}

fn generation_config(keys: &Keys) -> Result<String> {
    let mut ends = Vec::new();
    for name in ["eos", "eot", "eom"] {
        let id = keys.id(name)?;
        ends.extend(id.filter(|id| !ends.contains(id)));
    }
    let mut config = Map::new();
    config.insert("eos_token_id".into(), ends.into());
    for (name, field) in [
        ("temp", "temperature"),
        ("top_k", "top_k"),
        ("top_p", "top_p"),
        ("penalty_repeat", "repetition_penalty"),
    ] {
        let key = format!("general.sampling.{name}");
        let number = keys.read(&key, "a number", |value| match value.as_u64() {
            Some(count) => Some(Value::from(count)),
            None => value.as_f64().map(Value::from),
        })?;
        config.extend(number.map(|number| (field.to_owned(), number)));
    }
    Ok(Value::Object(config).to_string())
}

//! The texts beside a config.json as metadata: the other direction of `tokenizer`.

use serde::Deserialize;
use serde_json::Value;

use super::metadata::{Metadata, MetadataValue};
use super::pretokenizer;
use super::tokenizer::{CONTROL, MERGES, MODEL, PRE, TOKENS, TYPES, UNUSED, USER_DEFINED};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

const NORMAL: u64 = 1;
/// Ids that make sense: four times those of the largest vocabularies.
const MOST_TOKENS: usize = 1 << 20;

/// tokenizer.json, as far as it is of use here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    pre_tokenizer: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    vocab: serde_json::Map<String, Value>,
    #[serde(default)]
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// Adds what `checkpoint` has beside its weights; nothing if it has no tokenizer.
pub(super) async fn add(checkpoint: &Checkpoint, metadata: &mut Metadata) -> Result<()> {
    let name = "tokenizer.json";
    let Some(text) = checkpoint.text(name).await? else {
        return Ok(());
    };
    let path = checkpoint.path(name);
    let file: File = serde_json::from_str(&text)
        .map_err(|error| Error::damaged(path.as_str(), error.to_string()))?;
    let config = object(checkpoint, "tokenizer_config.json").await?;
    let generation = object(checkpoint, "generation_config.json").await?;
    let tokens = Tokens::new(&path, &file, size(checkpoint)?)?;
    let pre = pretokenizer::name_of(file.pre_tokenizer.as_ref());
    let pre = pre.ok_or_else(|| {
        let what = "cuts texts in a way that GGUF files have no name for";
        Error::unsupported(path.as_str(), what)
    })?;
    let merges: Vec<_> = file.model.merges.iter().map(Merge::line).collect();
    let mut put = |key: &str, value| _ = metadata.insert(key.to_owned(), value);
    put(MODEL, MetadataValue::text("gpt2"));
    put(PRE, MetadataValue::text(pre));
    let texts = tokens.texts.iter().map(String::as_str);
    put(TOKENS, MetadataValue::list(texts));
    put(TYPES, MetadataValue::numbers(&tokens.types));
    let lines = merges.iter().map(String::as_str);
    put(MERGES, MetadataValue::list(lines));
    tokens.put_named(&config, checkpoint.config(), metadata);
    tokens.put_ends(&generation, metadata);
    let mut put = |key: &str, value| _ = metadata.insert(key.to_owned(), value);
    if let Some(add) = config["add_bos_token"].as_bool() {
        put("tokenizer.ggml.add_bos_token", MetadataValue::flag(add));
    }
    let jinja = checkpoint.text("chat_template.jinja").await?;
    if let Some(template) = jinja
        .as_deref()
        .or_else(|| config["chat_template"].as_str())
    {
        put("tokenizer.chat_template", MetadataValue::text(template));
    }
    for (name, field) in [
        ("temp", "temperature"),
        ("top_p", "top_p"),
        ("penalty_repeat", "repetition_penalty"),
    ] {
        if let Some(number) = generation[field].as_f64() {
            let key = format!("general.sampling.{name}");
            put(&key, MetadataValue::number(number as f32));
        }
    }
    if let Some(count) = generation["top_k"].as_u64() {
        put("general.sampling.top_k", MetadataValue::count(count as u32));
    }
    Ok(())
}

/// Rows of the table of embeddings, each of which has a token in a GGUF file.
fn size(checkpoint: &Checkpoint) -> Result<usize> {
    let fields = checkpoint.fields()?;
    let size = fields.usize("vocab_size")?;
    let table = checkpoint.tensor("model.embed_tokens.weight");
    let rows = table.map_or(0, |table| table.rows());
    if size != rows {
        let what = format!("is {size}, but the table of embeddings has {rows} rows");
        return Err(fields.damaged("vocab_size", &what));
    }
    if size > MOST_TOKENS {
        let what = format!("is {size}; GGUF files are written with up to {MOST_TOKENS}");
        return Err(fields.unsupported("vocab_size", &what));
    }
    Ok(size)
}

async fn object(checkpoint: &Checkpoint, file: &str) -> Result<Value> {
    let Some(text) = checkpoint.text(file).await? else {
        return Ok(Value::Null);
    };
    serde_json::from_str(&text)
        .map_err(|error| Error::damaged(checkpoint.path(file), error.to_string()))
}

impl Merge {
    fn line(&self) -> String {
        match self {
            Self::Pair(left, right) => format!("{left} {right}"),
            Self::Line(line) => line.clone(),
        }
    }
}

/// Whether a token is one that steers, though its file does not say so: DeepSeek's and others do not always.
fn looks_special(token: &str) -> bool {
    let is_between = |begin, end| token.starts_with(begin) && token.ends_with(end);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&token)
        || is_between("<|", "|>")
        || is_between("<｜", "｜>")
        || is_between("<unused", ">")
}

/// A text and a type for every id.
struct Tokens {
    texts: Vec<String>,
    types: Vec<i32>,
}

impl Tokens {
    /// The tokens of `file`, and fillers up to the `size` of the table of embeddings.
    fn new(path: &str, file: &File, size: usize) -> Result<Self> {
        let mut tokens = Self {
            texts: (0..size).map(|id| format!("[PAD{id}]")).collect(),
            types: vec![UNUSED as i32; size],
        };
        for (token, id) in &file.model.vocab {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
            tokens.set(path, token, id.unwrap_or(usize::MAX), NORMAL)?;
        }
        for added in &file.added_tokens {
            let is_control = added.special || looks_special(&added.content);
            let kind = if is_control { CONTROL } else { USER_DEFINED };
            tokens.set(path, &added.content, added.id, kind)?;
        }
        Ok(tokens)
    }

    fn set(&mut self, path: &str, token: &str, id: usize, kind: u64) -> Result<()> {
        let Some(text) = self.texts.get_mut(id) else {
            let what = format!(
                "token {token:?} has an id that is not below {}",
                self.types.len()
            );
            return Err(Error::damaged(path, what));
        };
        token.clone_into(text);
        self.types[id] = kind as i32;
        Ok(())
    }

    /// Adds the ids of the tokens that stand for something, as `texts` call them or `config` numbers them.
    fn put_named(&self, texts: &Value, config: &Value, metadata: &mut Metadata) {
        for (name, field) in [("bos", "bos"), ("eos", "eos"), ("padding", "pad")] {
            let token = &texts[format!("{field}_token")];
            let token = token.as_str().or_else(|| token["content"].as_str());
            let id = match token {
                Some(token) => self.id(token),
                None => config[format!("{field}_token_id")].as_u64(),
            };
            if let Some(id) = id.filter(|&id| id < self.texts.len() as u64) {
                let key = format!("tokenizer.ggml.{name}_token_id");
                metadata.insert(key, MetadataValue::count(id as u32));
            }
        }
    }

    /// Adds what else answers end with: GGUF files have names for two such tokens.
    fn put_ends(&self, generation: &Value, metadata: &mut Metadata) {
        let key = |name: &str| format!("tokenizer.ggml.{name}_token_id");
        let eos = metadata.get(&key("eos")).and_then(MetadataValue::as_u64);
        let ends = generation["eos_token_id"].as_array();
        let ends = ends.into_iter().flatten().filter_map(Value::as_u64);
        let others = ends.filter(|&id| Some(id) != eos && id < self.texts.len() as u64);
        for (name, id) in ["eot", "eom"].into_iter().zip(others) {
            metadata.insert(key(name), MetadataValue::count(id as u32));
        }
    }

    fn id(&self, token: &str) -> Option<u64> {
        let id = self.texts.iter().position(|text| text == token);
        id.map(|id| id as u64)
    }
}

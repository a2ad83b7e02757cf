//! `tiefsee inspect`: what a model is and what it needs, from its headers alone.

use std::rc::Rc;

use indicatif::{BinaryBytes, HumanCount};
use serde_json::{Map, Value, json};
use tiefsee::checkpoint::{Checkpoint, Parameters, Source, StoredTensor};
use tiefsee::engine::Speculate;
use tiefsee::formats::{self, Format};
use tiefsee::llm::{open_source, weight_bytes};
use tiefsee::models::{ModelShape, WeightOptions, architecture};
use tiefsee::text::ChatTemplate;
use tiefsee::{Error, Result};

use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee inspect ./model
  tiefsee inspect ./model --json | jq .memory
  tiefsee inspect demo --tensors";

/// The formats whose sizes are told.
const PACKED: [&Format; 7] = [
    &formats::F32,
    &formats::F16,
    &formats::BF16,
    &formats::Q8_0,
    &formats::Q6_K,
    &formats::Q4_K,
    &formats::Q4_0,
];

/// Tell what a model is and what it needs; reads headers only
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: demo, a folder in Hugging Face layout, or a GGUF file
    #[arg(default_value = "demo")]
    model: String,
    /// Print an object
    #[arg(long)]
    json: bool,
    /// List the tensors: name, type, shape, bytes
    #[arg(long)]
    tensors: bool,
}

/// Prints what the headers say.
///
/// # Errors
/// Those of reading headers and of writing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let source = open_source(&arguments.model)?;
    let checkpoint = pollster::block_on(Checkpoint::open(Rc::clone(&source)))?;
    let mut report = pollster::block_on(report(&arguments.model, &*source, &checkpoint))?;
    if arguments.json {
        if let Some(metadata) = checkpoint.metadata() {
            let entries = metadata.iter();
            let entries = entries.map(|(key, value)| (key.clone(), value.brief()));
            report.insert("metadata".into(), Value::Object(entries.collect()));
        }
        if arguments.tensors {
            report.insert(
                "tensors".into(),
                checkpoint
                    .tensors()
                    .map(|tensor| describe(&tensor))
                    .collect(),
            );
        }
        let text = serde_json::to_string_pretty(&report);
        return output::write_line(&text.map_err(|error| Error::Internal(error.to_string()))?);
    }
    let lines = report
        .iter()
        .map(|(name, value)| format!("{:<22}{}\n", name.replace('_', " "), words(name, value)));
    output::write(&lines.collect::<String>())?;
    if arguments.tensors {
        let line = |tensor: StoredTensor| {
            format!(
                "{}  {}  {:?}  {}\n",
                tensor.name,
                tensor.encoding,
                tensor.shape,
                tensor.bytes()
            )
        };
        output::write(&format!(
            "\n{}",
            checkpoint.tensors().map(line).collect::<String>()
        ))?;
    }
    Ok(())
}

fn describe(tensor: &StoredTensor) -> Value {
    json!({
        "name": tensor.name,
        "dtype": tensor.encoding.to_string(),
        "shape": tensor.shape,
        "bytes": tensor.bytes(),
    })
}

async fn report(
    name: &str,
    source: &dyn Source,
    checkpoint: &Checkpoint,
) -> Result<Map<String, Value>> {
    let fields = checkpoint.fields()?;
    let count = |field| fields.optional_usize(field).map(Value::from);
    let (shape, memory) = match support(checkpoint).await? {
        Ok((shape, memory)) => (Ok(shape), memory),
        Err(why) => (Err(why), Value::Null),
    };
    let parameters = Parameters::count(checkpoint)?;
    let mut report = Map::new();
    let mut put = |name: &str, value: Value| report.insert(name.into(), value);
    put("model", name.into());
    put("model_type", fields.optional_str("model_type")?.into());
    put(
        "supported",
        shape
            .as_ref()
            .map_or_else(|why| format!("no: {why}").into(), |_| "yes".into()),
    );
    put("parameters", parameters.total.into());
    put("active_parameters", parameters.active.into());
    put("prediction_parameters", parameters.prediction.into());
    put("layers", count("num_hidden_layers")?);
    put("hidden", count("hidden_size")?);
    put("heads", count("num_attention_heads")?);
    put("experts", count("n_routed_experts")?);
    put("shared_experts", count("n_shared_experts")?);
    put("experts_per_token", count("num_experts_per_tok")?);
    put("vocabulary", count("vocab_size")?);
    put("context", count("max_position_embeddings")?);
    put("stored", stored(checkpoint));
    put("tokenizer", has_tokenizer(source, checkpoint).await?.into());
    put("chat_template", template(checkpoint).await?.into());
    put("files", checkpoint.shards().len().into());
    put("bytes", file_bytes(source, checkpoint).await?.into());
    put("memory", memory);
    put(
        "cache_per_token",
        shape
            .ok()
            .map(|shape| 4 * shape.layers * (shape.cache_width + shape.index_width))
            .into(),
    );
    Ok(report)
}

/// The model's sizes and what its weights take, or why it cannot run.
async fn support(
    checkpoint: &Checkpoint,
) -> Result<std::result::Result<(ModelShape, Value), String>> {
    let shape = architecture(checkpoint).and_then(|found| (found.shape)(checkpoint));
    let shape = match shape {
        Ok(shape) => shape,
        Err(Error::Unsupported { what, .. }) => return Ok(Err(what)),
        Err(error) => return Err(error),
    };
    match memory(checkpoint).await {
        Ok(memory) => Ok(Ok((shape, memory))),
        // Whoever looks at such a model wants to see what it has instead.
        Err(Error::Damaged { what, .. } | Error::Unsupported { what, .. }) => Ok(Err(what)),
        Err(error) => Err(error),
    }
}

/// Tensors and bytes of each stored type.
fn stored(checkpoint: &Checkpoint) -> Value {
    let object = |[tensors, bytes]: [u64; 2]| json!({ "tensors": tensors, "bytes": bytes });
    checkpoint
        .encodings()
        .into_iter()
        .map(|(name, sums)| (name, object(sums)))
        .collect::<Map<_, _>>()
        .into()
}

async fn has_tokenizer(source: &dyn Source, checkpoint: &Checkpoint) -> Result<bool> {
    Ok(match checkpoint.metadata() {
        Some(metadata) => metadata.contains_key("tokenizer.ggml.tokens"),
        None => source.size("tokenizer.json").await?.is_some(),
    })
}

async fn template(checkpoint: &Checkpoint) -> Result<String> {
    let config = match checkpoint.text("tokenizer_config.json").await? {
        None => Value::Null,
        Some(text) => match serde_json::from_str(&text) {
            Ok(config) => config,
            Err(error) => return Ok(format!("damaged: tokenizer_config.json: {error}")),
        },
    };
    let jinja = checkpoint.text("chat_template.jinja").await?;
    Ok(match ChatTemplate::from_config(&config, jinja.as_deref()) {
        Ok(_) => "yes".into(),
        Err(Error::NotFound(_)) => "no".into(),
        Err(error) => format!("damaged: {error}"),
    })
}

async fn file_bytes(source: &dyn Source, checkpoint: &Checkpoint) -> Result<u64> {
    let mut bytes = 0;
    for file in checkpoint.shards() {
        bytes += source.size(file).await?.unwrap_or(0);
    }
    Ok(bytes)
}

/// Bytes of the weights on a device, as stored and in some formats of `--quantize`.
async fn memory(checkpoint: &Checkpoint) -> Result<Value> {
    let mut memory = Map::new();
    // As they are loaded unless something else is asked for.
    let bytes = async |quantize| {
        let prediction = Speculate::default().predicts();
        let weights = WeightOptions {
            quantize,
            prediction,
        };
        weight_bytes(checkpoint, weights).await
    };
    let as_stored = bytes(None).await?;
    memory.insert("as_stored".into(), as_stored.into());
    for format in PACKED {
        memory.insert(format.name.into(), bytes(Some(format)).await?.into());
    }
    Ok(memory.into())
}

/// A value of the report in a user's words.
fn words(name: &str, value: &Value) -> String {
    let is_bytes = matches!(name, "bytes" | "memory" | "cache_per_token");
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if is_bytes => BinaryBytes(bytes).to_string(),
            Some(count) if name.ends_with("parameters") => HumanCount(count).to_string(),
            _ => number.to_string(),
        },
        Value::Object(parts) if name == "stored" => {
            let part = |(name, sums): (&String, &Value)| {
                format!(
                    "{name}: {}, {} tensors",
                    words("bytes", &sums["bytes"]),
                    sums["tensors"]
                )
            };
            parts.iter().map(part).collect::<Vec<_>>().join("; ")
        }
        Value::Object(parts) => {
            let part = |(part, value): (&String, &Value)| {
                let part = if part == "as_stored" {
                    "as stored"
                } else {
                    part
                };
                format!("{part}: {}", words(name, value))
            };
            parts.iter().map(part).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

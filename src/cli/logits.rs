//! `tiefsee logits`: the raw scores of given tokens, for comparing with other implementations.
//!
//! Needs no tokenizer: config.json and the weights are enough.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytemuck::cast_slice as bytes_of;
use safetensors::Dtype;
use tiefsee::checkpoint::{NewTensor, safetensors_header};
use tiefsee::llm::{ScoreOptions, Scores, score};
use tiefsee::{Error, Result};

use super::common::{CacheArguments, DeviceArguments, ReadArguments};
use super::output;
use super::progress::LoadReport;

const EXAMPLES: &str = "\
Examples:
  tiefsee logits ./model --tokens 0,17,42 --output logits.safetensors
  tiefsee logits ./model --tokens @ids.txt --chunk 64 --output chunked.safetensors
  tiefsee logits ./model --tokens 0,17,42 --step --routes --output steps.safetensors

The file has the tensor logits, F32 [tokens, vocabulary]: row i has the scores after token i.
Beside it are tokens and positions, I32 [tokens], by which \"tiefsee perplexity\" knows what the scores are of.
With --routes it has routes.N, I32 [tokens, slots], for the N-th layer with experts, from 0:
the routed experts, best first, then the shared ones.";

/// The most bytes of a file with tokens.
const LARGEST_LIST: u64 = 64 << 20;

/// Write the raw scores of given tokens to a file
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: demo, a folder with config.json and safetensors files, or a GGUF file
    model: String,
    /// The ids, separated by commas or blanks, or @FILE to read them from there
    #[arg(long, value_name = "IDS|@FILE")]
    tokens: String,
    /// The safetensors file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Tokens that go through the model at a time [default: 256, or fewer if the device has no room]
    #[arg(long, value_name = "N")]
    chunk: Option<NonZeroUsize>,
    /// Feed one token at a time through the cache
    #[arg(long, conflicts_with = "chunk")]
    step: bool,
    /// Write the experts that the tokens chose, too
    #[arg(long)]
    routes: bool,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Runs the tokens and writes the file.
///
/// # Errors
/// Whatever loading, running and writing fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tokens = read_tokens(&arguments.tokens)?;
    if !arguments.force {
        output::check_file(&arguments.output, "--force")?;
    }
    output::check_folder(&arguments.output)?;
    let scores = pollster::block_on(scores(arguments, &tokens))?;
    write(arguments, &tokens, &scores)?;
    let Scores { vocabulary, .. } = scores;
    output::note(&format!(
        "{}: logits [{}, {vocabulary}]",
        arguments.output.display(),
        tokens.len()
    ));
    Ok(())
}

/// The ids of `--tokens`.
fn read_tokens(list: &str) -> Result<Vec<u32>> {
    let text = match list.strip_prefix('@') {
        None => list.to_owned(),
        Some(file) => {
            let unreadable = |source| Error::Io {
                path: file.into(),
                source,
            };
            let size = std::fs::metadata(file).map_err(unreadable)?.len();
            if size > LARGEST_LIST {
                return Err(Error::Usage(format!(
                    "{file} has {size} bytes, too many for a list of tokens"
                )));
            }
            std::fs::read_to_string(file).map_err(unreadable)?
        }
    };
    let words = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty());
    let wrong = |word| Error::Usage(format!("--tokens: {word:?} is no token id"));
    let tokens = words
        .map(|word| word.parse().map_err(|_| wrong(word)))
        .collect::<Result<Vec<u32>>>()?;
    if tokens.is_empty() {
        return Err(Error::Usage("--tokens: there are none".into()));
    }
    Ok(tokens)
}

async fn scores(arguments: &Arguments, tokens: &[u32]) -> Result<Scores> {
    let checkpoint = arguments.read.open(&arguments.model).await?;
    let report = LoadReport::new(&arguments.model);
    let options = ScoreOptions {
        device: arguments.device.options(),
        quantize: arguments.read.format()?,
        cache_type: arguments.cache.kind()?,
        chunk: if arguments.step {
            Some(1)
        } else {
            arguments.chunk.map(NonZeroUsize::get)
        },
        routes: arguments.routes,
    };
    let update = |progress| report.update(progress);
    let scored = score(&checkpoint, tokens, &options, &update).await;
    report.finish();
    let scores = scored?;
    arguments.device.warn(&scores.adapter, &scores.disabled);
    Ok(scores)
}

fn write(arguments: &Arguments, tokens: &[u32], scores: &Scores) -> Result<()> {
    let positions: Vec<u32> = (0..tokens.len() as u32).collect();
    let rows = |values: &[u32]| vec![tokens.len(), values.len() / tokens.len()];
    let part = |name: &str, dtype, shape| NewTensor {
        name: name.to_owned(),
        dtype,
        shape,
    };
    let single = || vec![tokens.len()];
    let table = vec![tokens.len(), scores.vocabulary];
    let mut parts: Vec<(NewTensor, &[u8])> = vec![
        (part("tokens", Dtype::I32, single()), bytes_of(tokens)),
        (
            part("positions", Dtype::I32, single()),
            bytes_of(&positions),
        ),
        (part("logits", Dtype::F32, table), bytes_of(&scores.logits)),
    ];
    for (layer, routes) in scores.routes.iter().enumerate() {
        let name = format!("routes.{layer}");
        parts.push((part(&name, Dtype::I32, rows(routes)), bytes_of(routes)));
    }
    let tensors: Vec<_> = parts.iter().map(|(tensor, _)| tensor.clone()).collect();
    let header = safetensors_header(&tensors);
    output::write_file(&arguments.output, |part| {
        let write = || {
            let mut file = File::create(part)?;
            file.write_all(&header)?;
            parts
                .iter()
                .try_for_each(|(_, bytes)| file.write_all(bytes))
        };
        write().map_err(|source| Error::Io {
            path: arguments.output.clone(),
            source,
        })
    })
}

//! `tiefsee perplexity`: how well a model foretells a text, and how far its scores are from another run's.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use safetensors::Dtype;
use serde_json::{Value, json};
use tiefsee::checkpoint::{Folder, NewTensor, TensorFile, safetensors_header};
use tiefsee::llm::{Evaluation, Mean, Perplexity, Reference, ScoreOptions, Windows};
use tiefsee::models::Progress;
use tiefsee::{Error, Result};

use super::common::{CacheArguments, DeviceArguments, ReadArguments};
use super::input::read_text;
use super::interrupt::Interrupts;
use super::output;
use super::progress::LoadReport;

const EXAMPLES: &str = "\
Examples:
  tiefsee perplexity ./model -f wiki.test.raw
  tiefsee perplexity ./model -f text.txt --quantize f32 --save-logits exact.safetensors
  tiefsee perplexity ./model -f text.txt --quantize q4_0 --reference-logits exact.safetensors

The text is cut into windows of --ctx tokens; none sees another. If the model wants a beginning-of-sequence
token, each window starts with it and every token of the text counts. Else the first token of a window is only
read, and all others count. A last window may be shorter.

Reference logits are what --save-logits or \"tiefsee logits\" wrote: the tensor logits, F32 [tokens, vocabulary],
with tokens and positions, I32 [tokens]. The divergence is that of Kullback and Leibler from the reference's
probabilities to this run's, over all tokens that were read, in nats.";

/// Tell how well a model foretells a text, and compare its scores with those of another run
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: demo, a folder in Hugging Face layout, or a GGUF file
    model: String,
    /// The text, in UTF-8; - for standard input
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Tokens of a window [default: 512, or what the model allows]
    #[arg(long, value_name = "N", env = "TIEFSEE_CTX", hide_env_values = true)]
    ctx: Option<NonZeroUsize>,
    /// Only the first N windows
    #[arg(long, short, value_name = "N")]
    chunks: Option<NonZeroUsize>,
    /// Compare with the scores in this file
    #[arg(long, value_name = "FILE")]
    reference_logits: Option<PathBuf>,
    /// Write the scores to this file
    #[arg(long, value_name = "FILE")]
    save_logits: Option<PathBuf>,
    /// Overwrite the file of --save-logits if it exists
    #[arg(long)]
    force: bool,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Reads the text and prints what it finds.
///
/// # Errors
/// Whatever loading, running and writing fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = ScoreOptions {
        device: arguments.device.options(),
        quantize: arguments.read.format()?,
        cache_type: arguments.cache.kind()?,
        ..ScoreOptions::default()
    };
    if let Some(file) = &arguments.save_logits {
        if !arguments.force {
            output::check_file(file, "--force")?;
        }
        output::check_folder(file)?;
    }
    let text = read_text(&arguments.file)?;
    pollster::block_on(async {
        let checkpoint = arguments.read.open(&arguments.model).await?;
        let length = arguments.ctx.map(NonZeroUsize::get);
        let most = arguments.chunks.map(NonZeroUsize::get);
        let windows = Windows::cut(&checkpoint, &text, length, most).await?;
        // What is wrong with it should not cost the time of loading the model.
        let reference = match &arguments.reference_logits {
            Some(file) => Some(Reference::new(open(file).await?, &windows).await?),
            None => None,
        };
        let report = LoadReport::new(&arguments.model);
        let update = |progress| report.update(progress);
        let evaluation =
            Evaluation::load(&checkpoint, windows.clone(), reference, &options, &update).await;
        report.finish();
        let mut evaluation = evaluation?;
        arguments
            .device
            .warn(evaluation.adapter(), evaluation.disabled());
        let report = LoadReport::of_tokens(&arguments.model);
        let found = evaluate(arguments, &mut evaluation, &windows, &report).await;
        let seconds = report.finish().as_secs_f64();
        print(arguments, &windows, &found?, &evaluation, seconds)
    })
}

async fn open(file: &Path) -> Result<TensorFile> {
    let name = file.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        let what = format!("{}: is no name of a file", file.display());
        return Err(Error::Usage(what));
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    TensorFile::open(Rc::new(Folder::open(folder)?), name).await
}

/// Runs the windows, and saves the scores if that is wanted.
async fn evaluate(
    arguments: &Arguments,
    evaluation: &mut Evaluation,
    windows: &Windows,
    report: &LoadReport,
) -> Result<Perplexity> {
    let interrupts = Interrupts::listen()?;
    let total = windows.tokens.len() as u64;
    let mut loaded = 0;
    let mut update = |scores: &[f32]| {
        loaded += (scores.len() / windows.vocabulary) as u64;
        report.update(Progress { loaded, total });
        interrupts.check()
    };
    let Some(file) = &arguments.save_logits else {
        return evaluation.run(update).await;
    };
    let failed = |source| Error::Io {
        path: file.clone(),
        source,
    };
    output::write_file_async(file, async |part| {
        interrupts.begin(&[part.to_owned()]);
        let mut out = BufWriter::new(File::create(part).map_err(failed)?);
        begin(&mut out, windows).map_err(failed)?;
        let save = |scores: &[f32]| {
            out.write_all(bytemuck::cast_slice(scores))
                .map_err(failed)?;
            update(scores)
        };
        let found = evaluation.run(save).await?;
        out.flush().map_err(failed)?;
        Ok(found)
    })
    .await
}

/// Everything in a file of logits that comes before them.
fn begin(out: &mut impl Write, windows: &Windows) -> std::io::Result<()> {
    let tokens = windows.tokens.len();
    let parts = [
        ("tokens", Dtype::I32, vec![tokens]),
        ("positions", Dtype::I32, vec![tokens]),
        ("logits", Dtype::F32, vec![tokens, windows.vocabulary]),
    ];
    let parts = parts.map(|(name, dtype, shape)| NewTensor {
        name: name.to_owned(),
        dtype,
        shape,
    });
    out.write_all(&safetensors_header(&parts))?;
    out.write_all(bytemuck::cast_slice(&windows.tokens))?;
    out.write_all(bytemuck::cast_slice(&windows.positions))
}

fn print(
    arguments: &Arguments,
    windows: &Windows,
    found: &Perplexity,
    evaluation: &Evaluation,
    seconds: f64,
) -> Result<()> {
    let perplexity = found.perplexity();
    let rate = windows.tokens.len() as f64 / seconds.max(1e-9);
    if arguments.json {
        let mean = |mean: Mean| json!({ "value": mean.value, "error": mean.error });
        let divergence = found.divergence.as_ref().map_or(Value::Null, |found| {
            json!({
                "mean": mean(found.mean), "quantile_99": found.quantile_99, "max": found.max,
                "same_top": found.same_top,
            })
        });
        let report = json!({
            "model": arguments.model, "windows": windows.count(), "ctx": windows.length,
            "tokens": windows.tokens.len(), "scored": found.scored, "perplexity": mean(perplexity),
            "nats": mean(found.nats), "divergence": divergence, "seconds": seconds, "tokens_per_second": rate,
            "quantize": arguments.read.quantize, "device": evaluation.adapter().info.name,
        });
        return output::write_line(&format!("{report:#}"));
    }
    let mut text = format!(
        "perplexity {:.4} +- {:.4} ({} tokens foretold in {} windows of {}; {rate:.0} tokens/s)\n",
        perplexity.value,
        perplexity.error,
        found.scored,
        windows.count(),
        windows.length
    );
    if let Some(found) = &found.divergence {
        text += format!(
            "divergence {:.6} +- {:.6} nats; 99 % of tokens at most {:.6}, the most {:.6}\n\
             same top   {:.2} % of tokens\n",
            found.mean.value,
            found.mean.error,
            found.quantile_99,
            found.max,
            100.0 * found.same_top
        )
        .as_str();
    }
    output::write(&text)
}

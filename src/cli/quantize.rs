//! `tiefsee quantize`: a model's weights in another format, as a GGUF file or a folder of safetensors.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use indicatif::BinaryBytes;
use tiefsee::checkpoint::{Checkpoint, Conversion, MANIFEST, Recipe, TEXTS, pack_blocks};
use tiefsee::formats::Format;
use tiefsee::llm::{open_source, weight_bytes};
use tiefsee::models::{Progress, WeightOptions};
use tiefsee::{Error, Result};

use super::interrupt::Interrupts;
use super::output;
use super::progress::LoadReport;

const EXAMPLES: &str = "\
Examples:
  tiefsee quantize ./model model-q4_k_m.gguf q4_k_m
  tiefsee quantize model-f16.gguf ./model-q8_0 q8_0
  tiefsee quantize ./model model.gguf q6_k --dry-run

Vectors and routers become f32. Rows that are not whole blocks of a type get one with shorter blocks: q5_0 for q4_k,
q5_1 for q5_k, q8_0 for q6_k, iq4_nl for the others, or f16. q4_k_m and q5_k_m are llama.cpp's mixtures: q6_k for the
scores' matrix and for half of the values' and the down projections.
A folder holds block types as bytes, with their names in config.json, which only tiefsee reads; llama.cpp reads
GGUF files.";

const WEIGHTS: &str = "model.safetensors";

/// Write a model with its weights in another format
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: demo, a folder in Hugging Face layout, or a GGUF file
    #[arg(value_name = "IN")]
    model: String,
    /// What to write: a file that ends with .gguf, or a folder
    #[arg(value_name = "OUT")]
    output: PathBuf,
    #[arg(help = type_help(), value_name = "TYPE")]
    r#type: String,
    /// Tell the sizes and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Overwrite what exists
    #[arg(long)]
    force: bool,
}

fn type_help() -> String {
    format!("The type of most weights: {}", Recipe::names().join(", "))
}

/// Converts and writes.
///
/// # Errors
/// [`Error::Usage`] for an unknown type or a place that is taken; those of reading and writing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let name = &arguments.r#type;
    let recipe = Recipe::named(name).ok_or_else(|| {
        let known = Recipe::names().join(", ");
        Error::Usage(format!("no type is called {name:?}; there is {known}"))
    })?;
    let to_gguf = is_gguf(&arguments.output);
    if !arguments.dry_run {
        check_output(arguments)?;
    }
    pollster::block_on(async {
        let checkpoint = Checkpoint::open(open_source(&arguments.model)?).await?;
        if !arguments.dry_run {
            check_inputs(&checkpoint, &arguments.output)?;
        }
        // What does not fit its configuration is no model, whatever can be written of it.
        weight_bytes(&checkpoint, WeightOptions::default()).await?;
        let conversion = if to_gguf {
            Conversion::to_gguf(&checkpoint, &recipe, &title(&arguments.model)).await?
        } else {
            Conversion::to_folder(&checkpoint, &recipe).await?
        };
        if arguments.dry_run {
            return output::write(&sizes(&conversion));
        }
        let job = Job {
            arguments,
            conversion: &conversion,
            interrupts: Interrupts::listen()?,
        };
        if to_gguf {
            job.write_file().await?;
        } else {
            job.write_folder().await?;
        }
        let (path, bytes) = (arguments.output.display(), BinaryBytes(conversion.bytes()));
        output::note(&format!("{path}: {}, {bytes}", recipe.name));
        Ok(())
    })
}

fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// What a model is called: the last part of its path.
fn title(model: &str) -> String {
    let path = fs::canonicalize(model).unwrap_or_else(|_| PathBuf::from(model));
    let stem = if is_gguf(&path) {
        path.file_stem()
    } else {
        path.file_name()
    };
    stem.map_or(model.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Refuses a place that is taken, or that is the model's own.
fn check_output(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    output::check_folder(output)?;
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(output).is_some() && same(output) == same(Path::new(&arguments.model)) {
        let what = format!("{}: is what is to be read", output.display());
        return Err(Error::Usage(what));
    }
    if is_gguf(output) {
        if output.is_dir() {
            let what = format!("{}: is a folder, not a file", output.display());
            return Err(Error::Usage(what));
        }
        return if arguments.force {
            Ok(())
        } else {
            output::check_file(output, "--force")
        };
    }
    let taken = match fs::read_dir(output) {
        Ok(mut entries) => !arguments.force && entries.next().is_some(),
        Err(_) => output.symlink_metadata().is_ok(),
    };
    if !taken {
        return Ok(());
    }
    let what = if output.is_dir() {
        "is not empty; --force replaces the files of a model in it"
    } else {
        "is a file; a folder is wanted, or a name that ends with .gguf"
    };
    Err(Error::Usage(format!("{}: {what}", output.display())))
}

/// Refuses to replace a file of weights that is to be read: one of several parts, or the only one of a folder.
fn check_inputs(checkpoint: &Checkpoint, output: &Path) -> Result<()> {
    let written = if is_gguf(output) {
        output.to_owned()
    } else {
        output.join(WEIGHTS)
    };
    let Ok(written) = fs::canonicalize(written) else {
        return Ok(());
    };
    let is_written = |shard: &&String| {
        fs::canonicalize(checkpoint.path(shard)).is_ok_and(|read| read == written)
    };
    match checkpoint.shards().iter().find(is_written) {
        Some(shard) => {
            let shard = checkpoint.path(shard);
            Err(Error::Usage(format!("{shard}: is what is to be read")))
        }
        None => Ok(()),
    }
}

fn sizes(conversion: &Conversion) -> String {
    let mut text = String::new();
    for (name, (tensors, bytes)) in conversion.formats() {
        text += format!(
            "{name:<8}{:>12}  {tensors} tensors\n",
            BinaryBytes(bytes).to_string()
        )
        .as_str();
    }
    let total = BinaryBytes(conversion.bytes()).to_string();
    text + &format!("{:<8}{total:>12}\n", "total")
}

/// What is to be written, and who may stop it.
struct Job<'a> {
    arguments: &'a Arguments,
    conversion: &'a Conversion<'a>,
    interrupts: Interrupts,
}

impl Job<'_> {
    async fn write_file(&self) -> Result<()> {
        let write = async |part: &Path| {
            self.interrupts.begin(&[part.to_owned()]);
            self.write_weights(part).await
        };
        output::write_file_async(&self.arguments.output, write).await
    }

    /// Writes a folder, all of whose files take their places at the end.
    async fn write_folder(&self) -> Result<()> {
        let folder = &self.arguments.output;
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Io { path, source }
        };
        let is_new = !folder.is_dir();
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let texts = &self.conversion.texts;
        // The weights come last and config.json before them: until then, what was there is still whole.
        let files = texts.iter().rev().map(|(file, _)| *file).chain([WEIGHTS]);
        let paths: Vec<_> = files.map(|file| folder.join(file)).collect();
        let written = output::write_files(&paths, async |parts: &[PathBuf]| {
            self.interrupts.begin(parts);
            for (part, (_, text)) in parts.iter().zip(texts.iter().rev()) {
                fs::write(part, text).map_err(failed(part))?;
            }
            self.write_weights(&parts[texts.len()]).await
        });
        let written = written.await;
        if written.is_err() && is_new {
            // Its own files are gone; with any others in it, it stays.
            _ = fs::remove_dir(folder);
        }
        written?;
        // What another model left there would be taken for this one's.
        for file in TEXTS.into_iter().chain([MANIFEST]) {
            if texts.iter().all(|(own, _)| *own != file) {
                _ = fs::remove_file(folder.join(file));
            }
        }
        Ok(())
    }

    async fn write_weights(&self, path: &Path) -> Result<()> {
        let report = LoadReport::new(&self.arguments.model);
        let total = self.conversion.bytes();
        let mut loaded = 0;
        let mut progress = |bytes| {
            loaded += bytes;
            report.update(Progress { loaded, total });
            self.interrupts.check()
        };
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        let written = self
            .conversion
            .write((path, &mut out), &pack, &mut progress);
        let written = written.await;
        report.finish();
        written?;
        out.flush().map_err(failed)?;
        out.get_ref().sync_all().map_err(failed)
    }
}

/// Packs rows on all cores.
fn pack(format: &'static Format, values: &[f32]) -> Vec<u8> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = values.len().div_ceil(threads);
    // Whole blocks of every format.
    let share = share.next_multiple_of(format.block).max(1);
    std::thread::scope(|scope| {
        let parts = values.chunks(share);
        let workers: Vec<_> = parts
            .map(|part| scope.spawn(|| pack_blocks(format, part)))
            .collect();
        let blocks = workers.into_iter().map(|worker| match worker.join() {
            Ok(blocks) => blocks,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        blocks.collect::<Vec<_>>().concat()
    })
}

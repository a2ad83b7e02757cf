//! `tiefsee manifest`: the hashes of a model's files, for browsers that fetch them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tiefsee::checkpoint::{Checkpoint, MANIFEST, Manifest, Source};
use tiefsee::llm::open_source;
use tiefsee::models::Progress;
use tiefsee::{Error, Result};

use super::output;
use super::progress::LoadReport;

const EXAMPLES: &str = "\
Examples:
  tiefsee manifest ./model             write ./model/tiefsee-manifest.json
  tiefsee manifest ./model --check     compare the files with it

A browser that loads the model from a server checks every 4 MiB with it as they come, fetches a damaged
part again, and after a change fetches only the parts that changed.";

/// The texts that a model may have beside its weights.
const TEXTS: [&str; 6] = [
    "config.json",
    "model.safetensors.index.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// Write the hashes of a model's files, which browsers check while loading
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: a folder in Hugging Face layout
    model: String,
    /// Where to write [default: tiefsee-manifest.json in the model's folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compare the files with the manifest that is there, and write nothing
    #[arg(long, conflicts_with_all = ["force", "output"])]
    check: bool,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

/// Hashes the files, and writes or compares.
///
/// # Errors
/// [`Error::Damaged`] if `--check` finds a difference; else what reading and writing fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let source = open_source(&arguments.model)?;
    let output = match &arguments.output {
        Some(output) => output.clone(),
        None if arguments.model == "demo" => {
            let what = "the bundled model has no folder: say where to write with --output";
            return Err(Error::Usage(what.into()));
        }
        None => Path::new(&source.name()).join(MANIFEST),
    };
    if arguments.check {
        return check(arguments, &source);
    }
    if !arguments.force {
        output::check_file(&output, "--force")?;
    }
    output::check_folder(&output)?;
    let manifest = hash(arguments, &source)?;
    output::write_file(&output, |part| {
        std::fs::write(part, manifest.to_json()).map_err(|source| Error::Io {
            path: output.clone(),
            source,
        })
    })?;
    let files = manifest.files().collect::<Vec<_>>().join(", ");
    output::note(&format!("{}: {files}", output.display()));
    Ok(())
}

fn check(arguments: &Arguments, source: &Rc<dyn Source>) -> Result<()> {
    let checkpoint = pollster::block_on(Checkpoint::open(Rc::clone(source)))?;
    let text = pollster::block_on(checkpoint.text(MANIFEST))?;
    let file = checkpoint.path(MANIFEST);
    let missing = || {
        let model = &arguments.model;
        Error::NotFound(format!(
            "{file}: no such file; \"tiefsee manifest {model}\" writes it"
        ))
    };
    let expected = Manifest::from_json(&file, &text.ok_or_else(missing)?)?;
    expected.check(&**source, &hash(arguments, source)?)?;
    output::note(&format!(
        "{}: the files are as {MANIFEST} says",
        source.name()
    ));
    Ok(())
}

/// The hashes of the files that make up the model.
fn hash(arguments: &Arguments, source: &Rc<dyn Source>) -> Result<Manifest> {
    let report = LoadReport::new(&arguments.model);
    let manifest = pollster::block_on(async {
        let checkpoint = Checkpoint::open(Rc::clone(source)).await?;
        // A GGUF file has its texts inside.
        let is_folder = checkpoint.metadata().is_none();
        let texts = TEXTS.into_iter().filter(|_| is_folder);
        let files: Vec<_> = texts
            .chain(checkpoint.shards().iter().map(String::as_str))
            .collect();
        let mut total = 0;
        for file in &files {
            total += source.size(file).await?.unwrap_or(0);
        }
        let mut loaded = 0;
        let mut progress = |bytes| {
            loaded += bytes;
            report.update(Progress { loaded, total });
        };
        Manifest::of(&**source, &files, &mut progress).await
    });
    report.finish();
    manifest
}

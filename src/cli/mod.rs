//! The commands: what they are called, and how each ends.
//!
//! A command parses, calls the library and prints; it computes nothing of its own.

mod accuracy;
mod answer;
mod bench;
mod cache_file;
mod chat;
mod chat_commands;
mod common;
mod completions;
mod doctor;
mod input;
mod inspect;
mod interrupt;
mod logits;
mod manifest;
mod output;
mod perplexity;
mod plan;
mod progress;
mod quantize;
mod run;
mod serve;
mod signals;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tiefsee::Result;

use interrupt::Interrupts;

const EXAMPLES: &str = "\
Examples:
  tiefsee                                   chat with the bundled model
  tiefsee run demo \"What is 27 + 48?\"       one answer
  tiefsee run ./DeepSeek-V2-Lite-Chat       chat with a model from a folder
  tiefsee COMMAND --help                    more about a command

Exit status: 0 done, 1 internal error, 2 usage, 3 not found, 4 damaged or not supported,
5 no usable adapter, 6 does not fit, 9 address in use, 130 interrupted";

#[derive(Parser)]
#[command(name = "tiefsee", version, about = "DeepSeek models on whatever GPU you have", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Serve(serve::Arguments),
    Inspect(inspect::Arguments),
    Logits(logits::Arguments),
    Perplexity(perplexity::Arguments),
    Accuracy(accuracy::Arguments),
    Plan(plan::Arguments),
    Quantize(quantize::Arguments),
    Manifest(manifest::Arguments),
    Bench(bench::Arguments),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Run(arguments) => run::run(arguments),
            Self::Serve(arguments) => serve::run(arguments),
            Self::Inspect(arguments) => inspect::run(arguments).map(done),
            Self::Logits(arguments) => logits::run(arguments).map(done),
            Self::Perplexity(arguments) => perplexity::run(arguments).map(done),
            Self::Accuracy(arguments) => accuracy::run(arguments).map(done),
            Self::Plan(arguments) => plan::run(arguments).map(done),
            Self::Quantize(arguments) => quantize::run(arguments).map(done),
            Self::Manifest(arguments) => manifest::run(arguments).map(done),
            Self::Bench(arguments) => bench::run(arguments),
            Self::Doctor(arguments) => doctor::run(arguments),
            Self::Completions(arguments) => {
                completions::run(arguments, &mut Cli::command()).map(done)
            }
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Runs the command that the arguments name, and gives its exit status.
pub(crate) fn main() -> ExitCode {
    match Cli::parse_from(with_command(std::env::args_os()))
        .command
        .run()
    {
        Ok(status) => status,
        // Whoever closed the pipe has seen enough.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if Interrupts::ended(&error) => Interrupts::status(),
        Err(error) => {
            output::note(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// `run` is what is meant where no command is named.
fn with_command(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    let first = arguments.get(1).and_then(|first| first.to_str());
    let is_command = first.is_some_and(|first| !first.starts_with('-'));
    if !is_command
        && !first.is_some_and(|first| ["-h", "--help", "-V", "--version"].contains(&first))
    {
        arguments.insert(1.min(arguments.len()), "run".into());
    }
    arguments
}

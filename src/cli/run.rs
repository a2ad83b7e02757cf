//! `tiefsee run`: one answer, or a conversation on a terminal.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tiefsee::text::Prompt;
use tiefsee::{Error, Llm, Message, Result, Role};

use super::answer::{self, Circumstances, TextPrinter};
use super::cache_file;
use super::chat;
use super::common::{ModelArguments, SamplingArguments};
use super::interrupt::Interrupts;
use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee run                                        chat with the bundled model
  tiefsee run demo \"What is 27 + 48?\"                one answer
  tiefsee run demo --cache-file sums --system \"$(cat rules.txt)\" \"1 + 1?\"  the rules run once
  git diff | tiefsee run ./model \"Review this:\"      the prompt, a blank line, the input
  tiefsee run demo --json --temperature 0 \"87 x 6 = ?\"

Flags come before TIEFSEE_DEVICE, TIEFSEE_CTX, TIEFSEE_QUANTIZE, TIEFSEE_CACHE_DIR, TIEFSEE_NO_SUBGROUPS,
TIEFSEE_NO_F16 and TIEFSEE_NO_INT64. NO_COLOR keeps the thinking from being dimmed.";

/// Chat with a model, or have it answer one prompt
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// What to answer; - reads standard input, and piped input is appended after a blank line
    prompt: Option<String>,
    /// Instructions for the whole conversation
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt as it is, without the chat template
    #[arg(long)]
    raw: bool,
    /// Whether to print the thinking [default: show on a terminal, else hide]
    #[arg(long, value_name = "WHEN")]
    think: Option<Think>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Print a JSON object for each piece, then the one of --json
    #[arg(long, conflicts_with = "json")]
    json_stream: bool,
    /// Chat even if standard input is no terminal: a message or a command a line
    #[arg(long, conflicts_with_all = ["prompt", "raw", "json", "json_stream"])]
    interactive: bool,
    /// Keep in a file what the prompt leaves in the cache: the next prompt that begins alike goes on from it
    #[arg(long, value_name = "FILE", conflicts_with = "interactive")]
    cache_file: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Think {
    Show,
    Hide,
}

/// Answers, or chats until the user leaves.
///
/// # Errors
/// Whatever loading, answering and writing fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.sampling.check()?;
    let thinking = match arguments.think {
        Some(think) => think == Think::Show,
        None => std::io::stdout().is_terminal(),
    };
    let question = if arguments.interactive {
        None
    } else {
        question(arguments.prompt.as_deref())?
    };
    let needs_question = arguments.raw || arguments.json || arguments.json_stream;
    if question.is_none() && (needs_question || arguments.cache_file.is_some()) {
        let what =
            "--raw, --json, --json-stream and --cache-file need a prompt: add one, or pipe it in";
        return Err(Error::Usage(what.into()));
    }
    let started = Instant::now();
    let mut llm = arguments.model.load()?;
    let load = started.elapsed();
    let interrupts = Interrupts::listen()?;
    if let Some(question) = question {
        if let Some(path) = &arguments.cache_file {
            cache_file::load_if_there(&mut llm, path)?;
        }
        let prompt = prompt(arguments, &llm, question)?;
        return one_shot(arguments, &mut llm, &prompt, &interrupts, thinking, load);
    }
    let settings = chat::Settings {
        system: arguments.system.clone(),
        sampling: arguments.sampling.clone(),
        thinking,
    };
    chat::run(llm, interrupts, settings)?;
    Ok(ExitCode::SUCCESS)
}

/// The prompt from the command line and standard input; `None` to chat.
fn question(prompt: Option<&str>) -> Result<Option<String>> {
    let is_terminal = std::io::stdin().is_terminal();
    let question = match prompt {
        None if is_terminal => return Ok(None),
        None | Some("-") => read_input()?,
        Some(prompt) if is_terminal => prompt.to_owned(),
        Some(prompt) => match read_input()? {
            input if input.is_empty() => prompt.to_owned(),
            input => format!("{prompt}\n\n{input}"),
        },
    };
    if question.is_empty() {
        return Err(Error::Usage(
            "the prompt is empty: write one after the model, or pipe it in".into(),
        ));
    }
    Ok(Some(question))
}

/// All of standard input, without the end of its last line.
fn read_input() -> Result<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|source| Error::Io {
        path: "standard input".into(),
        source,
    })?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Usage(format!(
            "standard input is not UTF-8 at byte {at}; a prompt is text"
        ))
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn prompt(arguments: &Arguments, llm: &Llm, question: String) -> Result<Prompt> {
    if arguments.raw {
        return llm.raw_prompt(&question);
    }
    let system = arguments
        .system
        .clone()
        .map(|content| Message::new(Role::System, content));
    let user = Message::new(Role::User, question);
    llm.prompt(&system.into_iter().chain([user]).collect::<Vec<_>>())
}

fn one_shot(
    arguments: &Arguments,
    llm: &mut Llm,
    prompt: &Prompt,
    interrupts: &Interrupts,
    thinking: bool,
    load: Duration,
) -> Result<ExitCode> {
    let options = arguments.sampling.options(llm);
    let device = llm.device().info.name.clone();
    let mut printer = TextPrinter::new(thinking);
    let completion = answer::stream(
        llm,
        prompt,
        &options,
        interrupts,
        |update| match answer::delta(update) {
            Some(delta) if arguments.json_stream => output::write_line(&delta.to_string()),
            _ if arguments.json || arguments.json_stream => Ok(()),
            _ => printer.show(update),
        },
    )?;
    printer.finish()?;
    let Some(completion) = completion else {
        return Ok(Interrupts::status());
    };
    if arguments.json || arguments.json_stream {
        let circumstances = Circumstances {
            model: &arguments.model.model,
            device: &device,
            seed: options.sampling.seed,
            load,
        };
        output::write_line(&answer::object(&completion, &circumstances).to_string())?;
    }
    if arguments.model.verbose {
        output::note(&chat::statistics(&completion));
    }
    if let Some(path) = &arguments.cache_file {
        cache_file::save(llm, path, &prompt.tokens, &completion)?;
    }
    Ok(ExitCode::SUCCESS)
}

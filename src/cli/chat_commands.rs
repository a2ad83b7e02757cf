//! What a line that begins with a slash does to a conversation.

use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use tiefsee::{Error, Message, Result, Role};

use super::chat::{self, Chat};
use super::common::SamplingArguments;
use super::output::{self, note};

const HELP: &str = "\
/clear              start a new conversation
/system [TEXT|off]  show, change or remove the instructions
/set [NAME VALUE]   show or change how tokens are chosen: temperature, top-p, top-k, min-p,
                    repeat-penalty, seed, max-tokens; VALUE default takes the model's own
/save FILE          write the conversation as JSON; /save! overwrites a file
/load FILE          go on with a conversation that was saved
/think show|hide    print the thinking or not
/stats              what the last answer took
/bye                leave, as Ctrl-D does
Ctrl-C stops an answer. A space before a slash makes a line a message.";

/// The most bytes of a conversation that is loaded.
const LARGEST: u64 = 16 << 20;

/// Whether the conversation goes on.
pub(super) enum Next {
    Stay,
    Leave,
}

/// Does what `line` says.
///
/// # Errors
/// Those that the user should be told; the conversation is as it was.
pub(super) fn run(chat: &mut Chat, line: &str) -> Result<Next> {
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match (command, rest.trim()) {
        ("/help" | "/?", _) => note(HELP),
        ("/clear", _) => {
            chat.turns.clear();
            note("A new conversation.");
        }
        ("/system", text) => system(chat, text),
        ("/set", "") => note(&settings(&chat.settings.sampling)),
        ("/set", assignment) => set(&mut chat.settings.sampling, assignment)?,
        ("/save" | "/save!", file) => save(chat, required(file, command)?, command.ends_with('!'))?,
        ("/load", file) => load(chat, required(file, command)?)?,
        ("/think", "show") => chat.settings.thinking = true,
        ("/think", "hide") => chat.settings.thinking = false,
        ("/think", _) => return Err(Error::Usage("/think takes show or hide".into())),
        ("/stats", _) => note(&statistics(chat)),
        ("/bye" | "/exit" | "/quit", _) => return Ok(Next::Leave),
        (unknown, _) => {
            let what = format!("there is no {unknown}; /help lists what there is");
            return Err(Error::Usage(what));
        }
    }
    Ok(Next::Stay)
}

fn required<'a>(file: &'a str, command: &str) -> Result<&'a Path> {
    if file.is_empty() {
        return Err(Error::Usage(format!("{command} needs the name of a file")));
    }
    Ok(Path::new(file))
}

fn system(chat: &mut Chat, text: &str) {
    match text {
        "" => {}
        "off" => chat.settings.system = None,
        text => chat.settings.system = Some(text.to_owned()),
    }
    match &chat.settings.system {
        None => note("No instructions."),
        Some(system) => note(&format!("Instructions: {system}")),
    }
}

fn set(sampling: &mut SamplingArguments, assignment: &str) -> Result<()> {
    let (name, value) = assignment
        .split_once(char::is_whitespace)
        .unwrap_or((assignment, ""));
    let value = value.trim();
    let mut changed = sampling.clone();
    match name {
        "temperature" => changed.temperature = parse(name, value)?,
        "top-p" => changed.top_p = parse(name, value)?,
        "top-k" => changed.top_k = parse(name, value)?,
        "min-p" => changed.min_p = parse(name, value)?,
        "repeat-penalty" => changed.repeat_penalty = parse(name, value)?,
        "seed" => changed.seed = parse(name, value)?,
        "max-tokens" => changed.max_tokens = parse(name, value)?,
        unknown => {
            return Err(Error::Usage(format!(
                "there is nothing called {unknown} to set; /set lists what there is"
            )));
        }
    }
    changed.check()?;
    *sampling = changed;
    Ok(())
}

fn parse<T: FromStr>(name: &str, value: &str) -> Result<Option<T>> {
    if value == "default" {
        return Ok(None);
    }
    let wrong = |_| {
        Error::Usage(format!(
            "{name} cannot be {value:?}; it is a number, or default"
        ))
    };
    value.parse().map(Some).map_err(wrong)
}

fn settings(sampling: &SamplingArguments) -> String {
    fn show<T: ToString>(name: &str, value: Option<T>) -> String {
        let value = value.map_or("default".to_owned(), |value| value.to_string());
        format!("{name:<15} {value}")
    }
    [
        show("temperature", sampling.temperature),
        show("top-p", sampling.top_p),
        show("top-k", sampling.top_k),
        show("min-p", sampling.min_p),
        show("repeat-penalty", sampling.repeat_penalty),
        show("seed", sampling.seed),
        show("max-tokens", sampling.max_tokens),
    ]
    .join("\n")
}

fn statistics(chat: &mut Chat) -> String {
    let Some(last) = &chat.last else {
        return "Nothing was answered yet.".to_owned();
    };
    let context = chat.llm.engine().context();
    format!(
        "{}; context: {} of {context} tokens",
        chat::statistics(last),
        chat::used(last)
    )
}

fn save(chat: &Chat, file: &Path, overwrite: bool) -> Result<()> {
    if !overwrite {
        output::check_file(file, "/save!")?;
    }
    let mut text = serde_json::to_string_pretty(&chat.messages())
        .map_err(|error| Error::Internal(error.to_string()))?;
    text.push('\n');
    output::write_file(file, |part| {
        std::fs::write(part, &text).map_err(|source| Error::Io {
            path: file.to_owned(),
            source,
        })
    })?;
    note(&format!(
        "{} messages in {}.",
        chat.messages().len(),
        file.display()
    ));
    Ok(())
}

fn load(chat: &mut Chat, file: &Path) -> Result<()> {
    let mut messages = read(file)?;
    let first_is_system = messages
        .first()
        .is_some_and(|message| message.role == Role::System);
    let turns = messages.split_off(usize::from(first_is_system));
    // Anything else would leave the model with two questions, or with an answer to nothing.
    let alternates = turns.iter().enumerate().all(|(index, turn)| {
        turn.role
            == if index.is_multiple_of(2) {
                Role::User
            } else {
                Role::Assistant
            }
    });
    if !alternates || !turns.len().is_multiple_of(2) {
        let what =
            "is no conversation: after an optional system message, user and assistant take turns";
        return Err(damaged(file, what));
    }
    let system = messages.pop().map(|message| message.content);
    let (old_turns, old_system) = (
        std::mem::replace(&mut chat.turns, turns),
        std::mem::replace(&mut chat.settings.system, system),
    );
    let tokens = chat
        .llm
        .prompt(&chat.messages())
        .map(|prompt| prompt.tokens.len());
    let context = chat.llm.engine().context();
    let refused = match tokens {
        Ok(tokens) if tokens < context => None,
        Ok(prompt) => Some(Error::ContextExceeded { prompt, context }),
        Err(error) => Some(error),
    };
    if let Some(error) = refused {
        (chat.turns, chat.settings.system) = (old_turns, old_system);
        return Err(error);
    }
    note(&format!(
        "{} messages from {}.",
        chat.messages().len(),
        file.display()
    ));
    Ok(())
}

fn read(file: &Path) -> Result<Vec<Message>> {
    let unreadable = |source| Error::Io {
        path: file.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    // Reading a pipe or a device might never end.
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(damaged(file, "is not a file of at most 16 MiB"));
    }
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(unreadable)?;
    open.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(file, &error.to_string()))
}

fn damaged(file: &Path, what: &str) -> Error {
    Error::Damaged {
        file: file.display().to_string(),
        what: what.to_owned(),
    }
}

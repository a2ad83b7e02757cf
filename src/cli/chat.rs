//! A conversation on a terminal: lines in, streamed answers out.

use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tiefsee::engine::FinishReason;
use tiefsee::{Completion, Error, Llm, Message, Result, Role, Update};

use super::answer::{self, TextPrinter};
use super::chat_commands::{self, Next};
use super::common::SamplingArguments;
use super::interrupt::Interrupts;
use super::output::note;

const PROMPT: &str = ">>> ";

/// What the command line says about a conversation.
pub(crate) struct Settings {
    /// Instructions for the whole conversation.
    pub(crate) system: Option<String>,
    /// How tokens are chosen.
    pub(crate) sampling: SamplingArguments,
    /// Whether the thinking is shown.
    pub(crate) thinking: bool,
}

/// A conversation under way.
pub(super) struct Chat {
    pub(super) llm: Llm,
    pub(super) settings: Settings,
    /// What was said, without the system's instructions.
    pub(super) turns: Vec<Message>,
    pub(super) last: Option<Completion>,
    interrupts: Interrupts,
}

/// Chats until the user leaves.
///
/// # Errors
/// Those of reading lines and of a device that fails.
pub(crate) fn run(llm: Llm, interrupts: Interrupts, settings: Settings) -> Result<()> {
    let mut chat = Chat {
        llm,
        settings,
        turns: Vec::new(),
        last: None,
        interrupts,
    };
    // A model without a template should say so now, not after the first question.
    chat.llm.prompt(&[Message::new(Role::User, "")])?;
    let mut lines = Lines::new()?;
    note(&format!(
        "On {}. /help lists the commands, Ctrl-D ends.",
        chat.llm.device().info.name
    ));
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        if !line.starts_with('/') {
            chat.ask(line)?;
            continue;
        }
        match chat_commands::run(&mut chat, &line) {
            Ok(Next::Stay) => {}
            Ok(Next::Leave) => break,
            Err(error) => note(&format!("error: {error}")),
        }
    }
    Ok(())
}

impl Chat {
    /// The conversation as the model gets it.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self.settings.system.clone();
        let system = system.map(|content| Message::new(Role::System, content));
        system
            .into_iter()
            .chain(self.turns.iter().cloned())
            .collect()
    }

    /// Asks and answers. Only what nobody can go on after is an error.
    fn ask(&mut self, content: String) -> Result<()> {
        self.turns.push(Message::new(Role::User, content));
        let mut said = String::new();
        let completion = match self.answer(&mut said) {
            Ok(completion) => completion,
            Err(error) => {
                self.turns.pop();
                return survive(error);
            }
        };
        let is_answered = !said.trim().is_empty();
        if is_answered {
            self.turns.push(Message::new(Role::Assistant, said));
        } else {
            self.turns.pop();
        }
        match &completion {
            Some(completion) => self.tell_end(completion, is_answered),
            None if is_answered => note("(stopped)"),
            None => note("(stopped before the answer; the question is not kept)"),
        }
        self.last = completion.or(self.last.take());
        Ok(())
    }

    fn answer(&mut self, said: &mut String) -> Result<Option<Completion>> {
        let prompt = self.llm.prompt(&self.messages())?;
        let options = self.settings.sampling.options(&self.llm);
        let mut printer = TextPrinter::new(self.settings.thinking);
        self.interrupts.forget();
        let completion = answer::stream(
            &mut self.llm,
            &prompt,
            &options,
            &self.interrupts,
            |update| {
                if let Update::Content(text) = update {
                    said.push_str(text);
                }
                printer.show(update)
            },
        );
        self.interrupts.forget();
        printer.finish()?;
        completion
    }

    /// Says what the user should know of how an answer ended.
    fn tell_end(&mut self, completion: &Completion, is_answered: bool) {
        let (used, context) = (used(completion), self.llm.engine().context());
        if completion.finish_reason == FinishReason::Length {
            let kept = if is_answered {
                ""
            } else {
                "; the question is not kept"
            };
            if used >= context {
                note(&format!(
                    "(cut: the context of {context} tokens is full{kept}. /clear starts anew, --ctx holds more)"
                ));
            } else {
                note(&format!(
                    "(cut after {} tokens{kept}; /set max-tokens N allows more)",
                    completion.usage.completion_tokens
                ));
            }
        } else if used * 5 >= context * 4 {
            note(&format!(
                "({used} of the context's {context} tokens are used; /clear starts anew)"
            ));
        }
    }
}

/// Tells an error that a conversation can go on after, and returns any other.
fn survive(error: Error) -> Result<()> {
    match error {
        Error::ContextExceeded { prompt, context } => note(&format!(
            "The conversation would have {prompt} tokens, but the context holds {context}. It is kept without \
             the last question: /save FILE writes it, /clear starts anew, and a longer --ctx holds more.",
        )),
        Error::Usage(_) | Error::Template(_) | Error::NonFinite { .. } => {
            note(&format!("error: {error}"));
        }
        fatal => return Err(fatal),
    }
    Ok(())
}

/// Tokens of the context that an answer and its prompt took.
pub(super) fn used(completion: &Completion) -> usize {
    completion.usage.prompt_tokens + completion.usage.completion_tokens
}

/// What an answer took, in a line.
pub(crate) fn statistics(completion: &Completion) -> String {
    let Completion { usage, timings, .. } = completion;
    format!(
        "prompt: {} tokens ({} from the cache), {:.2} s, {:.1} tokens/s; answer: {} tokens ({} thinking), {:.2} s, \
         {:.1} tokens/s, {:.2} a step",
        usage.prompt_tokens,
        usage.cached_tokens,
        timings.prefill.as_secs_f64(),
        completion.prefill_rate(),
        usage.completion_tokens,
        usage.reasoning_tokens,
        timings.decode.as_secs_f64(),
        completion.decode_rate(),
        completion.tokens_per_step(),
    )
}

/// Lines from the terminal, with a history that outlives the program.
struct Lines {
    editor: DefaultEditor,
    history: Option<PathBuf>,
}

impl Lines {
    fn new() -> Result<Self> {
        let mut editor = DefaultEditor::new().map_err(unreadable)?;
        let history = if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            made_history_file()
        } else {
            None
        };
        if let Some(file) = &history {
            // There is none the first time, and chatting works without.
            _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// The next line; `None` when the user leaves.
    fn next(&mut self) -> Result<Option<String>> {
        loop {
            match self.editor.readline(PROMPT) {
                Ok(line) => {
                    _ = self.editor.add_history_entry(&line);
                    if let Some(file) = &self.history {
                        _ = self.editor.append_history(file);
                    }
                    return Ok(Some(line));
                }
                Err(ReadlineError::Interrupted) => note("(Ctrl-D or /bye ends)"),
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(unreadable(error)),
            }
        }
    }
}

fn unreadable(error: ReadlineError) -> Error {
    let source = match error {
        ReadlineError::Io(source) => source,
        other => std::io::Error::other(other),
    };
    Error::Io {
        path: "standard input".into(),
        source,
    }
}

/// Where the history is kept, if there is such a place.
pub(crate) fn history_file() -> Option<PathBuf> {
    let folder = |name| {
        std::env::var_os(name)
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
    };
    let home = || folder("HOME").map(|home| home.join(".local/share"));
    let data = folder("XDG_DATA_HOME")
        .or_else(home)
        .or_else(|| folder("LOCALAPPDATA"))?;
    Some(data.join("tiefsee").join("history"))
}

/// [`history_file`] in a folder that exists.
fn made_history_file() -> Option<PathBuf> {
    let file = history_file()?;
    std::fs::create_dir_all(file.parent()?).ok()?;
    Some(file)
}

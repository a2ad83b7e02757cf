//! One answer on standard output: as text, as an object, or as an object a line.

use std::future::poll_fn;
use std::io::IsTerminal;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::Stream;
use serde_json::{Value, json};
use tiefsee::text::Prompt;
use tiefsee::{Completion, GenerateOptions, Llm, Result, Update};

use super::interrupt::Interrupts;
use super::output;

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Generates an answer and has `show` print what comes; `None` if it was interrupted.
///
/// # Errors
/// Those of [`Llm::generate`] and of `show`.
pub(crate) fn stream(
    llm: &mut Llm,
    prompt: &Prompt,
    options: &GenerateOptions,
    interrupts: &Interrupts,
    mut show: impl FnMut(&Update) -> Result<()>,
) -> Result<Option<Completion>> {
    let mut answer = Box::pin(llm.generate(prompt, options)?);
    pollster::block_on(async {
        loop {
            let next = poll_fn(|context| {
                if interrupts.pressed() {
                    return Poll::Ready(None);
                }
                Pin::new(&mut answer).poll_next(context)
            });
            let Some(update) = next.await.transpose()? else {
                return Ok(None);
            };
            if let Update::DeviceLost(why) = &update {
                output::note(&format!(
                    "warning: the device was lost ({why}); it is opened again"
                ));
            }
            show(&update)?;
            if let Update::Done(completion) = update {
                return Ok(Some(completion));
            }
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Reasoning,
    Content,
}

/// What standard output goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    File,
    Terminal { dims: bool },
}

/// Prints an answer for people.
pub(crate) struct TextPrinter {
    thinking: bool,
    target: Target,
    part: Part,
    line_is_open: bool,
}

impl TextPrinter {
    /// A printer that shows the thinking or not.
    pub(crate) fn new(thinking: bool) -> Self {
        Self {
            thinking,
            target: if std::io::stdout().is_terminal() {
                Target::Terminal {
                    dims: output::allows_colours(),
                }
            } else {
                Target::File
            },
            part: Part::Nothing,
            line_is_open: false,
        }
    }

    /// Prints a piece of the answer.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn show(&mut self, update: &Update) -> Result<()> {
        match update {
            Update::Reasoning(text) if self.thinking => self.print(Part::Reasoning, text),
            Update::Content(text) => self.print(Part::Content, text),
            _ => Ok(()),
        }
    }

    /// Ends the last line, if anything was printed on it.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if std::mem::take(&mut self.line_is_open) {
            output::write("\n")?;
        }
        Ok(())
    }

    fn print(&mut self, part: Part, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let gap = if self.part == Part::Reasoning && part == Part::Content {
            "\n\n"
        } else {
            ""
        };
        self.part = part;
        self.line_is_open = !text.ends_with('\n');
        output::write(&match (self.target, part) {
            (Target::File, _) => format!("{gap}{text}"),
            (Target::Terminal { dims: true }, Part::Reasoning) => {
                format!("{DIM}{}{PLAIN}", harmless(text))
            }
            (Target::Terminal { .. }, _) => format!("{gap}{}", harmless(text)),
        })
    }
}

/// What a model says must not move the cursor or change the terminal.
fn harmless(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// A piece of an answer as an object; `None` for what is no text of it.
pub(crate) fn delta(update: &Update) -> Option<Value> {
    match update {
        Update::Reasoning(text) => Some(json!({ "reasoning": text })),
        Update::Content(text) => Some(json!({ "content": text })),
        _ => None,
    }
}

/// What belongs to an answer besides the answer itself.
pub(crate) struct Circumstances<'a> {
    /// The model's name.
    pub(crate) model: &'a str,
    /// The adapter's name.
    pub(crate) device: &'a str,
    /// Where the random numbers started.
    pub(crate) seed: u64,
    /// How long loading took.
    pub(crate) load: Duration,
}

/// A whole answer as an object.
pub(crate) fn object(completion: &Completion, circumstances: &Circumstances) -> Value {
    let Completion {
        text,
        reasoning,
        content,
        tokens,
        usage,
        timings,
        ..
    } = completion;
    let Circumstances {
        model,
        device,
        seed,
        load,
    } = circumstances;
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    json!({
        "text": text,
        "reasoning": reasoning,
        "content": content,
        "tokens": tokens,
        "finish_reason": completion.finish_reason.name(),
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "timings": {
            "load_ms": milliseconds(*load),
            "prefill_ms": milliseconds(timings.prefill),
            "prefill_tokens_per_second": completion.prefill_rate(),
            "decode_ms": milliseconds(timings.decode),
            "decode_tokens_per_second": completion.decode_rate(),
            "tokens_per_step": completion.tokens_per_step(),
        },
        "model": model,
        "device": device,
        "seed": seed,
    })
}

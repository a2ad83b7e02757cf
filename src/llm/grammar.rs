//! Answers that follow a grammar.
//!
//! Grammars are compiled off the engine's thread, within limits of size and time; what cannot be
//! enforced is refused before an answer begins.

use std::fmt;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::{Language, Shape};
use crate::engine::{Allowed, Constraint, TokenSet};
use crate::error::{Error, Result};
use crate::text::{END_THINK, Prompt, THINK, Tokenizer};

/// The longest grammar, in bytes.
const MOST_BYTES: usize = 256 << 10;
/// The longest that compiling may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for schemas within schemas.
const STACK: usize = 16 << 20;

/// What compiles grammars for a vocabulary; made when the first is wanted.
#[derive(Default)]
pub(super) struct Grammars(OnceLock<std::result::Result<Arc<ParserFactory>, String>>);

impl Grammars {
    fn factory(&self, language: &Language) -> Result<Arc<ParserFactory>> {
        let make = || {
            let vocabulary = vocabulary(language.tokenizer(), language.stop_tokens());
            let mut factory =
                ParserFactory::new_simple(&vocabulary).map_err(|error| error.to_string())?;
            factory.quiet();
            factory.limits_mut().verbose_errors = false;
            Ok(Arc::new(factory))
        };
        let made = self.0.get_or_init(make).clone();
        made.map_err(|error| Error::Internal(format!("grammars: {error}")))
    }
}

/// The bytes of every token; markup is set apart, so that no text can be taken for it.
fn vocabulary(tokenizer: &Tokenizer, stop_tokens: &[u32]) -> TokEnv {
    let markup: Vec<u32> = tokenizer.marker_ids().collect();
    let bytes = |token| {
        let mut bytes = tokenizer.token_bytes(token);
        if markup.contains(&token) {
            bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
        }
        bytes
    };
    let count = tokenizer.vocabulary() as u32;
    let words: Vec<Vec<u8>> = (0..count).map(bytes).collect();
    let stop = stop_tokens.first().copied().unwrap_or(u32::MAX);
    let mut trie = TokTrie::from(&TokRxInfo::new(count, stop), &words);
    if !stop_tokens.is_empty() {
        trie = trie.with_eos_tokens(stop_tokens);
    }
    Arc::new(ApproximateTokEnv::new(trie))
}

/// What an answer proper has to look like, ready for use.
#[derive(Clone)]
pub struct Grammar {
    start: Matcher,
    stop_tokens: Vec<u32>,
    vocabulary: u32,
    /// The tokens that begin and end thinking, if there are such.
    think: [Option<u32>; 2],
}

impl fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Grammar")
    }
}

impl Grammar {
    /// Compiles a shape for a model's vocabulary.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a schema that cannot be enforced, or takes too long.
    pub fn new(language: &Language, shape: &Shape) -> Result<Self> {
        let refused = |what: String| Error::Parameter {
            name: shape.field().into(),
            what: format!("cannot be enforced: {what}"),
        };
        let text = shape.grammar(language.tokenizer())?;
        if text.len() > MOST_BYTES {
            return Err(refused(format!("more than {MOST_BYTES} bytes")));
        }
        let factory = language.grammars.factory(language)?;
        let (sender, receiver) = channel();
        let compile = move || {
            let parser = factory.create_parser(TopLevelGrammar::from_lark(text));
            // Nobody is left to tell if it took too long.
            _ = sender.send(parser.map(|parser| Matcher::new(Ok(parser))));
        };
        (thread::Builder::new().stack_size(STACK).spawn(compile))
            .map_err(|error| Error::Internal(format!("a thread for a grammar: {error}")))?;
        let mut start = match receiver.recv_timeout(PATIENCE) {
            Ok(Ok(matcher)) => matcher,
            Ok(Err(error)) => return Err(refused(first_line(&error.to_string()))),
            Err(_) => return Err(refused("it takes too long".into())),
        };
        // A schema that nothing satisfies shows here.
        if let Err(error) = start.compute_mask() {
            return Err(refused(first_line(&error.to_string())));
        }
        let tokenizer = language.tokenizer();
        Ok(Self {
            start,
            stop_tokens: language.stop_tokens().to_vec(),
            vocabulary: tokenizer.vocabulary() as u32,
            think: [THINK, END_THINK].map(|marker| tokenizer.special(marker)),
        })
    }

    /// The rule for one answer to a prompt.
    pub fn constraint(&self, prompt: &Prompt) -> Box<dyn Constraint> {
        let phase = match self.think {
            [_, Some(_)] if prompt.opens_reasoning => Phase::Thinking,
            [Some(_), Some(_)] if !prompt.closes_reasoning => Phase::Undecided,
            _ => Phase::Answer,
        };
        let mut grammar = self.clone();
        // What several answers share would make them wait for each other.
        grammar.start = self.start.deep_clone();
        Box::new(Rule { grammar, phase })
    }
}

/// What compilers say behind the first line is about their own state.
fn first_line(error: &str) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come: thinking may.
    Undecided,
    /// Anything may come, but no end of the answer.
    Thinking,
    /// What the grammar allows.
    Answer,
}

/// The place in one answer.
#[derive(Clone)]
struct Rule {
    grammar: Grammar,
    phase: Phase,
}

impl Rule {
    fn unless_stopped(&mut self) -> Result<Allowed> {
        let matcher = &mut self.grammar.start;
        if matcher.is_stopped() && !matcher.is_error() {
            return Ok(Allowed::End);
        }
        let mask = matcher
            .compute_mask()
            .map_err(|error| failure(&error.to_string()))?;
        Ok(Allowed::Only(TokenSet {
            words: mask.as_slice().to_vec(),
        }))
    }
}

impl Constraint for Rule {
    fn allowed(&mut self) -> Result<Allowed> {
        let [open, _] = self.grammar.think;
        match (self.phase, open) {
            (Phase::Thinking, _) => {
                let mut all: TokenSet = (0..self.grammar.vocabulary).collect();
                for &stop in &self.grammar.stop_tokens {
                    all.remove(stop);
                }
                Ok(Allowed::Only(all))
            }
            (Phase::Undecided, Some(open)) => Ok(match self.unless_stopped()? {
                Allowed::Only(mut set) => {
                    set.words[open as usize / 32] |= 1 << (open % 32);
                    Allowed::Only(set)
                }
                other => other,
            }),
            _ => self.unless_stopped(),
        }
    }

    fn advance(&mut self, token: u32) -> Result<()> {
        let [open, close] = self.grammar.think;
        match self.phase {
            Phase::Thinking => {
                if Some(token) == close {
                    self.phase = Phase::Answer;
                }
                return Ok(());
            }
            Phase::Undecided if Some(token) == open => {
                self.phase = Phase::Thinking;
                return Ok(());
            }
            Phase::Undecided | Phase::Answer => self.phase = Phase::Answer,
        }
        let advanced = self.grammar.start.consume_token(token);
        advanced.map_err(|error| failure(&error.to_string()))
    }

    fn copy(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

fn failure(error: &str) -> Error {
    Error::Internal(format!("grammar: {}", first_line(error)))
}

//! What is timed.

use std::num::NonZeroUsize;

use tiefsee::{Error, Result};

use super::Arguments;
use crate::cli::output;

/// A prompt to read, or tokens to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Tokens that are read or generated.
    pub(super) tokens: usize,
    /// Tokens before them.
    pub(super) depth: usize,
    /// Whether they are generated one by one.
    pub(super) generates: bool,
}

impl Test {
    /// Tokens that the sequence has in the end.
    pub(super) fn end(&self) -> usize {
        self.depth + self.tokens
    }

    /// As llama-bench calls it.
    pub(super) fn name(&self) -> String {
        let what = if self.generates { "tg" } else { "pp" };
        let depth = if self.depth > 0 {
            format!(" @ d{}", self.depth)
        } else {
            String::new()
        };
        format!("{what}{}{depth}", self.tokens)
    }
}

/// The tests that fit a context of so many tokens, if the arguments name none, and the names of those that do not.
///
/// # Errors
/// [`Error::Usage`] if none fits.
pub(super) fn tests(arguments: &Arguments, context: usize) -> Result<(Vec<Test>, Vec<String>)> {
    let limit = arguments.ctx.map_or(context, NonZeroUsize::get);
    let mut depths = arguments.depth.clone();
    depths.sort_unstable();
    depths.dedup();
    let of_depth = |&depth: &usize| {
        let test = move |generates| {
            move |&tokens: &usize| Test {
                tokens,
                depth,
                generates,
            }
        };
        let prompts = arguments.prompt.iter().map(test(false));
        let answers = arguments.generate.iter().map(test(true));
        prompts
            .chain(answers)
            .filter(|test| test.tokens > 0)
            .collect::<Vec<_>>()
    };
    let all = depths.iter().flat_map(of_depth);
    let (tests, too_long): (Vec<Test>, Vec<Test>) = all.partition(|test| test.end() <= limit);
    let left_out: Vec<String> = too_long.iter().map(Test::name).collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        output::note(&format!(
            "left out, being longer than the context of {limit} tokens (--ctx): {names}"
        ));
    }
    if tests.is_empty() {
        return Err(Error::Usage("there is nothing to measure".into()));
    }
    Ok((tests, left_out))
}

//! What happens to a text before byte-pair encoding: the steps that tokenizer.json names.
//!
//! Only those that byte-level tokenizers use. The library's own list of all steps would bring their tables
//! into every browser.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::split::Split;
use tokenizers::tokenizer::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer};

use crate::error::{Error, Result};

/// What the counts of an expression may multiply to. The crate of expressions computes with them and trusts
/// that nothing overflows, and takes seconds for tens of thousands; published tokenizers have a 3.
const MOST_REPETITIONS: u64 = 1 << 10;

/// Steps in a sequence of sequences are refused beyond this depth.
const DEEPEST: usize = 16;

/// Rewriting of the text as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Normalization {
    /// Composed characters (NFC), the only one that these tokenizers ask for.
    composes: bool,
}

/// Cuts that no token may cross, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Cuts(Vec<Cut>);

#[derive(Debug, Clone)]
enum Cut {
    Split(Split),
    Digits(Digits),
    Bytes(ByteLevel),
}

impl Normalization {
    /// Reads `normalizer`.
    pub(super) fn new(file: &str, value: Option<&Value>) -> Result<Self> {
        let mut composes = false;
        each(file, value, "normalizers", DEEPEST, &mut |kind, _| {
            let known = kind == "NFC";
            composes |= known;
            Ok(known)
        })?;
        Ok(Self { composes })
    }
}

impl Normalizer for Normalization {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if self.composes {
            NFC.normalize(text)?;
        }
        Ok(())
    }
}

impl Cuts {
    /// Reads `pre_tokenizer`.
    pub(super) fn new(file: &str, value: Option<&Value>) -> Result<Self> {
        let mut cuts = Vec::new();
        each(file, value, "pretokenizers", DEEPEST, &mut |kind, step| {
            cuts.push(match kind {
                "Split" => {
                    check_expression(file, &step["pattern"]["Regex"])?;
                    Cut::Split(parse(file, step)?)
                }
                "Digits" => Cut::Digits(parse(file, step)?),
                "ByteLevel" => Cut::Bytes(parse(file, step)?),
                _ => return Ok(false),
            });
            Ok(true)
        })?;
        Ok(Self(cuts))
    }
}

impl PreTokenizer for Cuts {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|cut| match cut {
            Cut::Split(split) => split.pre_tokenize(text),
            Cut::Digits(digits) => digits.pre_tokenize(text),
            Cut::Bytes(bytes) => bytes.pre_tokenize(text),
        })
    }
}

/// Tells `tell` of every step and its kind, those in sequences in order; it says whether it knows the kind.
fn each(
    file: &str,
    value: Option<&Value>,
    list: &str,
    depth: usize,
    tell: &mut dyn FnMut(&str, &Value) -> Result<bool>,
) -> Result<()> {
    let Some(step) = value.filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let kind = step["type"].as_str().unwrap_or_default();
    if kind == "Sequence" && depth > 0 {
        let Some(steps) = step[list].as_array() else {
            let what = format!("a sequence has no list `{list}`");
            return Err(Error::damaged(file, what));
        };
        return steps
            .iter()
            .try_for_each(|step| each(file, Some(step), list, depth - 1, tell));
    }
    if tell(kind, step)? {
        Ok(())
    } else {
        let what = format!("{list} of the type {kind:?}, which byte-level tokenizers do not use");
        Err(Error::unsupported(file, what))
    }
}

/// Refuses an expression that repeats something too often.
fn check_expression(file: &str, expression: &Value) -> Result<()> {
    let text = expression.as_str().unwrap_or_default();
    let braces = text.match_indices('{').filter(|&(at, _)| {
        let before = &text[..at];
        // Characters by their numbers.
        !before.ends_with(r"\x") && !before.ends_with(r"\u") && !before.ends_with(r"\U")
    });
    let counts = braces.flat_map(|(at, _)| {
        let inside = text[at + 1..].split('}').next().unwrap_or_default();
        inside.split(|c: char| !c.is_ascii_digit())
    });
    let count = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX).max(1);
    let counts = counts.filter(|digits| !digits.is_empty()).map(count);
    if counts.fold(1, u64::saturating_mul) > MOST_REPETITIONS {
        let what = format!("pre_tokenizer: {text:?} repeats something too often");
        return Err(Error::damaged(file, what));
    }
    Ok(())
}

fn parse<T: for<'a> Deserialize<'a>>(file: &str, step: &Value) -> Result<T> {
    T::deserialize(step).map_err(|error| Error::damaged(file, format!("pre_tokenizer: {error}")))
}

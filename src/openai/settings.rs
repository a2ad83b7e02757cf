//! What requests of both kinds say besides their prompt.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::Range::{Above, From};
use super::fields::{Fields, MeansNothing, wrong};
use crate::engine::MOST_LOGPROBS;
use crate::error::Result;
use crate::llm::{GenerateOptions, Language};

/// The most texts that end an answer.
const MOST_STOPS: usize = 16;
/// The most answers to a prompt.
const MOST_CHOICES: usize = 8;
/// The most biased tokens.
const MOST_BIASES: usize = 1024;

/// What would change the answer but is not there.
const UNSUPPORTED: &[(&str, MeansNothing)] = &[
    ("ignore_eos", is_false),
    ("use_beam_search", is_false),
    ("guided_json", is_nothing),
    ("guided_regex", is_nothing),
    ("guided_choice", is_nothing),
    ("guided_grammar", is_nothing),
    ("structured_outputs", is_nothing),
    ("grammar", is_nothing),
];

/// How to answer. What is `None` is as the checkpoint recommends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// The model that is asked.
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Answers to each prompt.
    pub(super) choices: usize,
    /// Set by who knows how its kind of request asks for them.
    pub(super) logprobs: Option<usize>,
    pub(super) max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    logit_bias: Vec<(u32, f32)>,
    seed: Option<u64>,
    min_tokens: usize,
    stop: Vec<String>,
    experts: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
}

pub(super) fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

pub(super) fn is_nothing(value: &Value) -> bool {
    value == "" || is_empty(value)
}

pub(super) fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

impl Settings {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        fields.refuse(UNSUPPORTED)?;
        let choices = fields.number("n", From(1, MOST_CHOICES))?.unwrap_or(1);
        if let Some(best_of) = fields.get::<usize>("best_of")?.filter(|&it| it != choices) {
            return Err(wrong(
                "best_of",
                format!("is {best_of}; only as many as `n` are made"),
            ));
        }
        let max_tokens = max_tokens(fields)?;
        let min_tokens = fields.get("min_tokens")?.unwrap_or(0);
        if max_tokens.is_some_and(|most| min_tokens > most) {
            return Err(wrong("min_tokens", "is more than the most tokens"));
        }
        let stream_options: StreamOptions = fields.get("stream_options")?.unwrap_or_default();
        Ok(Self {
            model: fields.get("model")?,
            stream: fields.get("stream")?.unwrap_or(false),
            include_usage: stream_options.include_usage.unwrap_or(false),
            choices,
            logprobs: None,
            max_tokens,
            temperature: fields.number("temperature", From(0.0, 100.0))?,
            top_p: fields.number("top_p", Above(0.0, 1.0))?,
            top_k: fields.get("top_k")?,
            min_p: fields.number("min_p", From(0.0, 1.0))?,
            repetition_penalty: fields.number("repetition_penalty", Above(0.0, 100.0))?,
            frequency_penalty: fields.number("frequency_penalty", From(-2.0, 2.0))?,
            presence_penalty: fields.number("presence_penalty", From(-2.0, 2.0))?,
            logit_bias: logit_bias(fields)?,
            // Any whole number names a seed, negative ones, too.
            seed: fields.get::<i64>("seed")?.map(i64::cast_unsigned),
            min_tokens,
            stop: stop(fields)?,
            experts: fields.get("experts")?.unwrap_or(false),
        })
    }

    /// The checkpoint's recommendation with these settings over it; `seed` if they name none.
    pub(super) fn options(&self, language: &Language, seed: u64) -> Result<GenerateOptions> {
        let mut options = language.defaults(self.seed.unwrap_or(seed));
        let vocabulary = language.tokenizer().vocabulary();
        let unknown = |(token, _): &&(u32, f32)| *token as usize >= vocabulary;
        if let Some((token, _)) = self.logit_bias.iter().find(unknown) {
            let what =
                format!("has token {token}, which is not below the vocabulary of {vocabulary}");
            return Err(wrong("logit_bias", what));
        }
        let set = |place: &mut f32, value: Option<f32>| *place = value.unwrap_or(*place);
        let sampling = &mut options.sampling;
        set(&mut sampling.temperature, self.temperature);
        set(&mut sampling.top_p, self.top_p);
        set(&mut sampling.min_p, self.min_p);
        set(&mut sampling.repetition_penalty, self.repetition_penalty);
        set(&mut sampling.frequency_penalty, self.frequency_penalty);
        set(&mut sampling.presence_penalty, self.presence_penalty);
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
        sampling.logit_bias.clone_from(&self.logit_bias);
        options.max_tokens = self.max_tokens.or(options.max_tokens);
        options.min_tokens = self.min_tokens;
        options.stop.clone_from(&self.stop);
        options.logprobs = self.logprobs;
        options.routes = self.experts;
        Ok(options)
    }

    /// Takes note of how many of the best tokens are told beside each token.
    pub(super) fn tell_logprobs(&mut self, name: &str, best: Option<usize>) -> Result<()> {
        if best.is_some_and(|best| best > MOST_LOGPROBS) {
            return Err(wrong(name, format!("must be at most {MOST_LOGPROBS}")));
        }
        self.logprobs = best;
        Ok(())
    }
}

fn max_tokens(fields: &Fields) -> Result<Option<usize>> {
    match fields.get("max_completion_tokens")? {
        Some(tokens) => Ok(Some(tokens)),
        None => fields.get("max_tokens"),
    }
}

fn stop(fields: &Fields) -> Result<Vec<String>> {
    let stop = match fields.get("stop")? {
        None => Vec::new(),
        Some(OneOrMore::One(text)) => vec![text],
        Some(OneOrMore::More(texts)) => texts,
    };
    if stop.len() > MOST_STOPS {
        return Err(wrong("stop", format!("has more than {MOST_STOPS} texts")));
    }
    if stop.iter().any(String::is_empty) {
        return Err(wrong("stop", "has an empty text"));
    }
    Ok(stop)
}

/// Ids, which are texts since they are keys, with what is added to their scores.
fn logit_bias(fields: &Fields) -> Result<Vec<(u32, f32)>> {
    let name = "logit_bias";
    let biases: Map<String, Value> = fields.get(name)?.unwrap_or_default();
    if biases.len() > MOST_BIASES {
        return Err(wrong(name, format!("has more than {MOST_BIASES} tokens")));
    }
    let bias = |(token, bias): (&String, &Value)| {
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        match (token.parse(), bias) {
            (Ok(token), Some(bias)) => Ok((token, bias as f32)),
            (Err(_), _) => Err(wrong(
                name,
                format!("has a key {token:?} that is no token's id"),
            )),
            (_, None) => Err(wrong(name, "has a value that is not between -100 and 100")),
        }
    };
    biases.iter().map(bias).collect()
}

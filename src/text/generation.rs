//! What a checkpoint recommends for generating: `generation_config.json`.
//!
//! Never samples; it only carries the numbers to who does.

use serde::Deserialize;

use crate::error::Error;
use crate::error::Result;

/// Defaults for requests that say nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// The tokens that end an answer; may be empty.
    pub eos_token_ids: Vec<u32>,
    /// What the scores are divided by; 0 takes the best token.
    pub temperature: f32,
    /// The share of probability that the candidates make up, above 0 and at most 1.
    pub top_p: f32,
    /// The number of candidates, if it is limited.
    pub top_k: Option<usize>,
    /// What the scores of tokens that occurred are divided by; 1 is none.
    pub repetition_penalty: f32,
    /// The most tokens of an answer, if the checkpoint says.
    pub max_new_tokens: Option<usize>,
}

impl Default for GenerationConfig {
    /// What `DeepSeek` recommends for R1.
    fn default() -> Self {
        Self {
            eos_token_ids: Vec::new(),
            temperature: 0.6,
            top_p: 0.95,
            top_k: None,
            repetition_penalty: 1.0,
            max_new_tokens: None,
        }
    }
}

#[derive(Deserialize)]
struct File {
    eos_token_id: Option<OneOrMore>,
    do_sample: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    repetition_penalty: Option<f32>,
    max_new_tokens: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

impl GenerationConfig {
    /// Reads `generation_config.json`, whose name is `file`; what it leaves out has the defaults.
    ///
    /// [`Error::Damaged`] for broken JSON and numbers that make no sense.
    pub fn from_json(file: &str, json: &[u8]) -> Result<Self> {
        let parsed: File = serde_json::from_slice(json)
            .map_err(|error| Error::damaged(file, error.to_string()))?;
        let default = Self::default();
        let temperature = parsed.temperature.unwrap_or(default.temperature);
        let config = Self {
            eos_token_ids: match parsed.eos_token_id {
                None => Vec::new(),
                Some(OneOrMore::One(id)) => vec![id],
                Some(OneOrMore::More(ids)) => ids,
            },
            temperature: if parsed.do_sample == Some(false) {
                0.0
            } else {
                temperature
            },
            top_p: parsed.top_p.unwrap_or(default.top_p),
            top_k: parsed.top_k.filter(|&top_k| top_k > 0),
            repetition_penalty: parsed
                .repetition_penalty
                .unwrap_or(default.repetition_penalty),
            max_new_tokens: parsed.max_new_tokens,
        };
        let sound = [
            ("temperature", temperature, temperature >= 0.0),
            (
                "top_p",
                config.top_p,
                config.top_p > 0.0 && config.top_p <= 1.0,
            ),
            (
                "repetition_penalty",
                config.repetition_penalty,
                config.repetition_penalty > 0.0,
            ),
        ];
        match sound
            .iter()
            .find(|(_, value, sound)| !(*sound && value.is_finite()))
        {
            Some((name, value, _)) => Err(Error::damaged(file, format!("{name} is {value}"))),
            None => Ok(config),
        }
    }
}

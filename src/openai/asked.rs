//! What a request asks of the model.

use std::sync::Arc;

use super::reply::{Reply, ReplyKind, State};
use super::settings::Settings;
use crate::llm::{GenerateOptions, Language};
use crate::text::Prompt;

/// A request that was read and makes sense.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What has to be answered, each by itself: as many answers as are wanted of each prompt, in the
    /// order of the choices of the reply.
    pub answers: Vec<(Prompt, GenerateOptions)>,
    /// The model that is asked, if it says so.
    pub model: Option<String>,
    /// Whether the answer is wanted in pieces.
    pub stream: bool,
    kind: ReplyKind,
    include_usage: bool,
    choices: usize,
    /// What stands in front of each choice's text.
    echoes: Vec<String>,
}

impl Asked {
    /// Prompts, each with what its answers begin with.
    pub(super) fn new(
        kind: ReplyKind,
        settings: &Settings,
        prompts: Vec<(Prompt, String)>,
        options: &GenerateOptions,
    ) -> Self {
        let mut answers = Vec::new();
        let mut echoes = Vec::new();
        for (prompt, echo) in prompts {
            for choice in 0..settings.choices {
                let mut options = options.clone();
                let seed = &mut options.sampling.seed;
                *seed = seed.wrapping_add(choice as u64);
                answers.push((prompt.clone(), options));
                echoes.push(echo.clone());
            }
        }
        Self {
            answers,
            model: settings.model.clone(),
            stream: settings.stream,
            kind,
            include_usage: settings.include_usage,
            choices: settings.choices,
            echoes,
        }
    }

    /// What writes the reply. It is of the `model` with this name, was asked for in second `created`
    /// of 1970's count, and `id` tells it from others.
    pub fn reply(&self, language: &Arc<Language>, id: &str, created: u64, model: &str) -> Reply {
        Reply {
            kind: self.kind,
            id: match self.kind {
                ReplyKind::Chat => format!("chatcmpl-{id}"),
                ReplyKind::Text => format!("cmpl-{id}"),
            },
            created,
            model: model.to_owned(),
            language: Arc::clone(language),
            include_usage: self.include_usage,
            per_prompt: self.choices,
            echoes: self.echoes.clone(),
            states: vec![State::default(); self.echoes.len()],
        }
    }
}

//! What a client gets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::logprobs::{Tokens, chat_logprobs, text_logprobs};
use crate::engine::{FinishReason, TokenRoutes};
use crate::llm::{Completion, Language, Update, Usage};
use crate::text::ToolCall;

/// Changes with what answers may depend on.
const FINGERPRINT: &str = concat!("tiefsee-", env!("CARGO_PKG_VERSION"));

/// Which of the two kinds of request a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyKind {
    /// An answer in a conversation, its thinking apart.
    Chat,
    /// The continuation of a text.
    Text,
}

/// The reply to a request: what its objects say.
#[derive(Clone)]
pub struct Reply {
    pub(super) kind: ReplyKind,
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) language: Arc<Language>,
    pub(super) include_usage: bool,
    /// Choices that share a prompt.
    pub(super) per_prompt: usize,
    pub(super) echoes: Vec<String>,
    pub(super) states: Vec<State>,
}

/// How far the stream of a choice is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Characters of the text that its tokens make.
    characters: usize,
    /// Tools called.
    calls: usize,
}

impl Reply {
    /// What a stream begins with: in a conversation, who speaks; else the prompt, if it is wanted.
    pub fn opening(&self) -> Vec<Value> {
        let choices = 0..self.echoes.len();
        let opening = |choice: usize| match self.kind {
            ReplyKind::Chat => {
                let delta = json!({ "role": "assistant", "content": "" });
                Some(self.delta(choice, &delta))
            }
            ReplyKind::Text => {
                let echo = &self.echoes[choice];
                (!echo.is_empty()).then(|| self.text(choice, echo, None))
            }
        };
        choices.filter_map(opening).collect()
    }

    /// The objects of a stream for a part of the answer that is `choice`, in order.
    pub fn chunks(&mut self, choice: usize, update: &Update) -> Vec<Value> {
        let chunk = match (self.kind, update) {
            (ReplyKind::Chat, Update::Reasoning(text)) => {
                self.delta(choice, &json!({ "reasoning_content": text }))
            }
            (ReplyKind::Chat, Update::Content(text)) => {
                self.delta(choice, &json!({ "content": text }))
            }
            (ReplyKind::Chat, Update::ToolCall(call)) => {
                let index = self.states[choice].calls;
                self.states[choice].calls += 1;
                let mut call = self.call(choice, index, call);
                call["index"] = json!(index);
                self.delta(choice, &json!({ "tool_calls": [call] }))
            }
            (ReplyKind::Text, Update::Text(text)) => self.text(choice, text, None),
            (_, Update::Prompt(tokens) | Update::Tokens(tokens)) => self.likely(choice, tokens),
            (_, Update::Routes(routes)) => {
                let mut chunk = self.object(false, json!([]));
                chunk["experts"] = experts(routes);
                chunk
            }
            (_, Update::Done(completion)) => self.ending(choice, completion),
            _ => return Vec::new(),
        };
        vec![chunk]
    }

    /// What a stream ends with, if asked for: an object with nothing but the counts, as OpenAI has it.
    /// `usages` are those of all choices.
    pub fn closing(&self, usages: &[Usage]) -> Option<Value> {
        self.include_usage.then(|| {
            let mut counts = self.object(false, json!([]));
            counts["usage"] = self.usage(usages);
            counts
        })
    }

    /// All choices as one object.
    pub fn whole(&self, completions: &[Completion]) -> Value {
        let choices = completions.iter().enumerate();
        let choices: Vec<_> = choices
            .map(|(choice, completion)| self.choice(choice, completion))
            .collect();
        let mut whole = self.object(true, json!(choices));
        let usages: Vec<_> = completions.iter().map(|it| it.usage).collect();
        whole["usage"] = self.usage(&usages);
        // Beyond what OpenAI has: of the first choice.
        if let Some(completion) = completions.first() {
            whole["timings"] = timings(completion);
            whole["tokens"] = json!(completion.tokens);
        }
        whole
    }

    fn choice(&self, choice: usize, completion: &Completion) -> Value {
        let tokenizer = self.language.tokenizer();
        let (said, logprobs) = match self.kind {
            ReplyKind::Chat => (
                ("message", self.message(choice, completion)),
                chat_logprobs(tokenizer, &completion.logprobs),
            ),
            ReplyKind::Text => {
                let tokens = completion
                    .prompt_logprobs
                    .iter()
                    .chain(&completion.logprobs);
                let tokens: Tokens = tokens.cloned().collect();
                let text = self.echoes[choice].clone() + &completion.text;
                let logprobs = text_logprobs(tokenizer, &tokens, &mut 0);
                (("text", json!(text)), logprobs)
            }
        };
        json!({
            "index": choice,
            said.0: said.1,
            "logprobs": logprobs,
            "finish_reason": reason(completion),
        })
    }

    fn message(&self, choice: usize, completion: &Completion) -> Value {
        let Completion {
            content,
            reasoning,
            tool_calls,
            ..
        } = completion;
        let is_silent = content.is_empty() && !tool_calls.is_empty();
        let mut message = json!({
            "role": "assistant",
            "content": (!is_silent).then_some(content),
            "reasoning_content": (!reasoning.is_empty()).then_some(reasoning),
        });
        if !tool_calls.is_empty() {
            let calls = tool_calls.iter().enumerate();
            let calls = calls.map(|(index, call)| self.call(choice, index, call));
            message["tool_calls"] = calls.collect();
        }
        message
    }

    fn call(&self, choice: usize, index: usize, call: &ToolCall) -> Value {
        json!({
            "id": format!("call-{}-{choice}-{index}", self.id),
            "type": "function",
            "function": { "name": call.name, "arguments": call.arguments },
        })
    }

    /// How likely tokens were, without their text, which may come later.
    fn likely(&mut self, choice: usize, tokens: &Tokens) -> Value {
        let tokenizer = self.language.tokenizer();
        let (mut chunk, logprobs) = match self.kind {
            ReplyKind::Chat => (
                self.delta(choice, &json!({})),
                chat_logprobs(tokenizer, tokens),
            ),
            ReplyKind::Text => {
                let characters = &mut self.states[choice].characters;
                let logprobs = text_logprobs(tokenizer, tokens, characters);
                (self.text(choice, "", None), logprobs)
            }
        };
        chunk["choices"][0]["logprobs"] = logprobs;
        chunk
    }

    /// Why the answer ended.
    fn ending(&self, choice: usize, completion: &Completion) -> Value {
        let reason = reason(completion);
        let mut last = match self.kind {
            ReplyKind::Chat => {
                let mut last = self.delta(choice, &json!({}));
                last["choices"][0]["finish_reason"] = json!(reason);
                last
            }
            ReplyKind::Text => self.text(choice, "", Some(reason)),
        };
        last["timings"] = timings(completion);
        last
    }

    fn delta(&self, choice: usize, delta: &Value) -> Value {
        let choice =
            json!({ "index": choice, "delta": delta, "finish_reason": null, "logprobs": null });
        self.object(false, json!([choice]))
    }

    fn text(&self, choice: usize, text: &str, reason: Option<&str>) -> Value {
        let choice =
            json!({ "index": choice, "text": text, "finish_reason": reason, "logprobs": null });
        self.object(false, json!([choice]))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "choices are written as literals"
    )]
    fn object(&self, whole: bool, choices: Value) -> Value {
        let kind = match (self.kind, whole) {
            (ReplyKind::Chat, true) => "chat.completion",
            (ReplyKind::Chat, false) => "chat.completion.chunk",
            (ReplyKind::Text, _) => "text_completion",
        };
        let mut object = json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        });
        if self.include_usage && !whole {
            object["usage"] = Value::Null;
        }
        object
    }

    /// The counts of all choices; those of a prompt count once.
    fn usage(&self, usages: &[Usage]) -> Value {
        let mut total = Usage::default();
        for (choice, usage) in usages.iter().enumerate() {
            if choice % self.per_prompt == 0 {
                total.prompt_tokens += usage.prompt_tokens;
                total.cached_tokens += usage.cached_tokens;
            }
            total.completion_tokens += usage.completion_tokens;
            total.reasoning_tokens += usage.reasoning_tokens;
        }
        let Usage {
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            reasoning_tokens,
            ..
        } = total;
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_cache_hit_tokens": cached_tokens,
            "prompt_cache_miss_tokens": prompt_tokens - cached_tokens,
            "prompt_tokens_details": { "cached_tokens": cached_tokens },
            "completion_tokens_details": { "reasoning_tokens": reasoning_tokens },
        })
    }
}

fn reason(completion: &Completion) -> &'static str {
    match completion.finish_reason {
        FinishReason::Stop if !completion.tool_calls.is_empty() => "tool_calls",
        reason => reason.name(),
    }
}

fn timings(completion: &Completion) -> Value {
    let Completion { timings, usage, .. } = completion;
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "prefill_ms": timings.prefill.as_secs_f64() * 1e3,
        "prefill_tokens_per_second": completion.prefill_rate(),
        "decode_ms": timings.decode.as_secs_f64() * 1e3,
        "decode_tokens_per_second": completion.decode_rate(),
    })
}

/// `layers[layer][token]` has the token's experts, best first, then the shared ones.
fn experts(routes: &TokenRoutes) -> Value {
    let layers = routes.layers.iter().map(|layer| {
        let slots = (layer.len() / routes.tokens.max(1)).max(1);
        layer.chunks(slots).map(<[u32]>::to_vec).collect()
    });
    let layers: Vec<Vec<Vec<u32>>> = layers.collect();
    json!({ "position": routes.position, "layers": layers })
}

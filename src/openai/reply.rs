//! What a client gets.

use serde_json::{Value, json};

use crate::engine::TokenRoutes;
use crate::llm::{Completion, Update, Usage};

/// Which of the two kinds of request a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// An answer in a conversation, its thinking apart.
    Chat,
    /// The continuation of a text.
    Text,
}

impl ReplyKind {
    fn object(self, whole: bool) -> &'static str {
        match (self, whole) {
            (Self::Chat, true) => "chat.completion",
            (Self::Chat, false) => "chat.completion.chunk",
            (Self::Text, _) => "text_completion",
        }
    }
}

/// What all objects of a reply say.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Which kind.
    pub kind: ReplyKind,
    /// Names the reply.
    pub id: String,
    /// Seconds since 1970 when it was asked for.
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// Whether the last object of a stream has the counts of tokens.
    pub include_usage: bool,
}

impl Reply {
    /// What a stream begins with: in a conversation, who speaks.
    pub fn opening(&self) -> Option<Value> {
        match self.kind {
            ReplyKind::Chat => Some(self.delta(&json!({ "role": "assistant", "content": "" }))),
            ReplyKind::Text => None,
        }
    }

    /// The objects of a stream for a part of the answer, in order.
    pub fn chunks(&self, update: &Update) -> Vec<Value> {
        match (self.kind, update) {
            (ReplyKind::Chat, Update::Reasoning(text)) => {
                vec![self.delta(&json!({ "reasoning_content": text }))]
            }
            (ReplyKind::Chat, Update::Content(text)) => {
                vec![self.delta(&json!({ "content": text }))]
            }
            (ReplyKind::Text, Update::Text(text)) => vec![self.text(text, None)],
            (_, Update::Routes(routes)) => {
                let mut chunk = self.object(false, json!([]));
                chunk["experts"] = experts(routes);
                vec![chunk]
            }
            (_, Update::Done(completion)) => self.ending(completion),
            _ => Vec::new(),
        }
    }

    /// The whole answer as one object.
    pub fn whole(&self, completion: &Completion) -> Value {
        let mut choice = match self.kind {
            ReplyKind::Chat => {
                let thought = &completion.reasoning;
                let reasoning = (!thought.is_empty()).then_some(thought);
                json!({ "message": {
                    "role": "assistant",
                    "content": completion.content,
                    "reasoning_content": reasoning,
                } })
            }
            ReplyKind::Text => json!({ "text": completion.text }),
        };
        choice["index"] = json!(0);
        choice["finish_reason"] = json!(completion.finish_reason.name());
        choice["logprobs"] = Value::Null;
        let mut whole = self.object(true, json!([choice]));
        whole["usage"] = usage(&completion.usage);
        whole["timings"] = timings(completion);
        whole["tokens"] = json!(completion.tokens);
        whole
    }

    /// Why the answer ended, and, if asked for, an object with nothing but the counts, as OpenAI has it.
    fn ending(&self, completion: &Completion) -> Vec<Value> {
        let reason = completion.finish_reason.name();
        let mut last = match self.kind {
            ReplyKind::Chat => self.object(
                false,
                json!([{ "index": 0, "delta": {}, "finish_reason": reason, "logprobs": null }]),
            ),
            ReplyKind::Text => self.text("", Some(reason)),
        };
        last["timings"] = timings(completion);
        let mut chunks = vec![last];
        if self.include_usage {
            let mut counts = self.object(false, json!([]));
            counts["usage"] = usage(&completion.usage);
            chunks.push(counts);
        }
        chunks
    }

    fn delta(&self, delta: &Value) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": null, "logprobs": null });
        self.object(false, json!([choice]))
    }

    fn text(&self, text: &str, reason: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "text": text, "finish_reason": reason, "logprobs": null });
        self.object(false, json!([choice]))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "choices are written as literals"
    )]
    fn object(&self, whole: bool, choices: Value) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": self.kind.object(whole),
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if self.include_usage && !whole {
            object["usage"] = Value::Null;
        }
        object
    }
}

fn usage(usage: &Usage) -> Value {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
        reasoning_tokens,
    } = usage;
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

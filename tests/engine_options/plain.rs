//! An engine, what became of its sequences, and the same model without an engine.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;

use tiefsee::Error;
use tiefsee::engine::{
    BLOCK, Chosen, Engine, Event, FinishReason, Limits, Request, Runner, Sampling, SequenceId,
    TokenLogprobs, Want,
};
use tiefsee::gpu::{Gpu, cache};
use tiefsee::layers::Span;
use tiefsee::models::{Model, WeightOptions};

use crate::engines::{self, step};

pub(crate) const CONTEXT: usize = 4 * BLOCK;

pub(crate) fn load() -> (Rc<Gpu>, Box<dyn Model>) {
    engines::load("tests/golden/dsv3", WeightOptions::default())
}

pub(crate) fn engine() -> Engine {
    let (gpu, model) = load();
    let limits = Limits {
        context: CONTEXT,
        sequences: 3,
        step_tokens: 40,
        cache_tokens: 9 * BLOCK,
        cache_type: &cache::F32,
    };
    pollster::block_on(Engine::new(gpu, model, limits)).expect("room for the cache")
}

/// What became of a sequence.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) prompt: Vec<TokenLogprobs>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) error: Option<Error>,
}

impl Answer {
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Prompt(_, part) => {
                assert_eq!(part.position, self.prompt.len() + 1, "each once, in order");
                self.prompt.extend(part.tokens);
            }
            Event::Token(
                _,
                Chosen {
                    token, logprobs, ..
                },
            ) => {
                self.tokens.push(token);
                self.logprobs.extend(logprobs);
            }
            Event::Finished(_, reason) => self.finish = Some(reason),
            Event::Failed(_, error) => self.error = Some(error),
            Event::Began(..) | Event::Routes(..) => {}
        }
    }
}

pub(crate) fn of(event: &Event) -> SequenceId {
    match event {
        Event::Routes(id, _)
        | Event::Began(id, _)
        | Event::Prompt(id, _)
        | Event::Token(id, _)
        | Event::Finished(id, _)
        | Event::Failed(id, _) => *id,
    }
}

pub(crate) fn answer_all(
    engine: &mut Engine,
    requests: impl IntoIterator<Item = Request>,
) -> Vec<Answer> {
    let ids: Vec<_> = requests
        .into_iter()
        .map(|request| engine.add(request).expect("it fits"))
        .collect();
    let mut answers: HashMap<SequenceId, Answer> = HashMap::new();
    while !engine.is_idle() {
        for event in step(engine) {
            answers.entry(of(&event)).or_default().take(event);
        }
    }
    let answer = |id| answers.remove(id).expect("an answer");
    ids.iter().map(answer).collect()
}

/// The request's answer, the same with one step and with four under way, alone and beside others.
pub(crate) fn answer(engine: &mut Engine, request: &Request) -> Answer {
    engine.keep_in_flight(NonZeroUsize::MIN);
    let alone = answer_all(engine, [request.clone()]).remove(0);
    engine.keep_in_flight(NonZeroUsize::new(4).expect("not 0"));
    let drawn = Request {
        sampling: warm(),
        ..greedy(50)
    };
    let beside = answer_all(engine, [greedy(70), request.clone(), drawn]).remove(1);
    assert_eq!(alone.tokens, beside.tokens);
    alone
}

pub(crate) fn prompt() -> Vec<u32> {
    (0..45).map(|n| 3 + n * n % 60).collect()
}

pub(crate) fn greedy(max_tokens: usize) -> Request {
    Request {
        tokens: prompt(),
        max_tokens,
        ..Request::default()
    }
}

pub(crate) fn warm() -> Sampling {
    Sampling {
        temperature: 2.0,
        top_p: 0.95,
        seed: 5,
        ..Sampling::GREEDY
    }
}

/// The model without an engine.
pub(crate) struct Plain(Runner);

impl Plain {
    pub(crate) fn new() -> Self {
        let (gpu, model) = load();
        let runner = Runner::new(gpu, model, CONTEXT, CONTEXT / BLOCK, &cache::F32);
        Self(pollster::block_on(runner).expect("room for the cache"))
    }

    /// The scores after each of the tokens.
    pub(crate) fn scores(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let span = Span {
            tokens: tokens.to_vec(),
            start: 0,
            blocks: (0..(CONTEXT / BLOCK) as u32).collect(),
            outputs: tokens.len(),
        };
        let output = pollster::block_on(self.0.run(&[span], Want::SCORES)).expect("a step");
        let vocabulary = output.scores.len() / tokens.len();
        output
            .scores
            .chunks(vocabulary)
            .map(<[_]>::to_vec)
            .collect()
    }

    /// An answer of `length` tokens, each the best by scores that `change` changed, given the answer so far.
    pub(crate) fn answer(
        &mut self,
        length: usize,
        change: impl Fn(&mut [f32], &[u32]),
    ) -> Vec<u32> {
        let mut tokens = prompt();
        for _ in 0..length {
            let mut scores = self.scores(&tokens).pop().expect("the last token's");
            change(&mut scores, &tokens[prompt().len()..]);
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            tokens.push(best.expect("a token") as u32);
        }
        tokens.split_off(prompt().len())
    }
}

/// The logarithm of a token's probability.
pub(crate) fn log_softmax(scores: &[f32], token: u32) -> f64 {
    let sum: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
    f64::from(scores[token as usize]) - sum.ln()
}

#[track_caller]
pub(crate) fn assert_logprobs(told: &TokenLogprobs, scores: &[f32], token: u32, best: usize) {
    let is_near = |told: f64, token| (told - log_softmax(scores, token)).abs() < 1e-4;
    assert!(is_near(told.logprob, token));
    assert_eq!(told.best.len(), best);
    assert!(told.best.iter().all(|&(token, told)| is_near(told, token)));
    assert!(told.best.is_sorted_by(|a, b| a.1 >= b.1));
    let better = |&score: &f32| {
        best > 0 && f64::from(score) > f64::from(scores[told.best[best - 1].0 as usize]) + 1e-4
    };
    assert!(scores.iter().filter(|score| better(score)).count() < best.max(1));
}

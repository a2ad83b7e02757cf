//! Engines of small models, and what they answer.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses another part of this module"
)]

use std::rc::Rc;

use pollster::block_on;
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{Engine, Event, Limits, Request};
use tiefsee::gpu::Gpu;
use tiefsee::llm::open_source;
use tiefsee::models::{Loader, Model, WeightOptions, architecture};

use crate::common;

/// The model in a folder of the repository, on the device that the environment names.
pub fn load(model: &str, weights: WeightOptions) -> (Rc<Gpu>, Box<dyn Model>) {
    let gpu = common::open();
    let path = format!("{}/{model}", env!("CARGO_MANIFEST_DIR"));
    let model = block_on(async {
        let checkpoint = Checkpoint::open(open_source(&path)?).await?;
        let loader = Loader::new(&gpu, &checkpoint, weights, &|_| ());
        (architecture(&checkpoint)?.load)(&loader).await
    });
    (gpu, model.expect("a model"))
}

/// An engine of it.
pub fn start(model: &str, weights: WeightOptions, limits: Limits) -> Engine {
    let (gpu, model) = load(model, weights);
    block_on(Engine::new(gpu, model, limits)).expect("room for the cache")
}

pub fn step(engine: &mut Engine) -> Vec<Event> {
    block_on(engine.step()).expect("a step")
}

/// The answer of a request by itself.
pub fn answer(engine: &mut Engine, request: &Request) -> Vec<u32> {
    engine.add(request.clone()).expect("it fits");
    let mut tokens = Vec::new();
    while !engine.is_idle() {
        tokens.extend(step(engine).into_iter().filter_map(|event| match event {
            Event::Token(_, chosen) => Some(chosen.token),
            _ => None,
        }));
    }
    tokens
}

/// By how much the best token led behind the first tokens of an answer, in nats.
pub fn lead(engine: &mut Engine, request: &Request, first: &[u32]) -> f64 {
    let mut again = request.after(first);
    (again.logprobs, again.max_tokens) = (Some(2), first.len() + 1);
    engine.add(again).expect("it fits");
    let mut lead = f64::NAN;
    while !engine.is_idle() {
        for event in step(engine) {
            if let Event::Token(_, chosen) = event {
                let best = chosen.logprobs.expect("asked for").best;
                lead = best[0].1 - best[1].1;
            }
        }
    }
    lead
}

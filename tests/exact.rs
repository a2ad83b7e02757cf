//! What an answer is does not depend on what runs beside it: prompts answered alone and in random batches, with
//! arrivals and cancellations at random steps and too few blocks for all.

mod common;
#[path = "common/engines.rs"]
mod engines;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Instant;

use serde_json::Value;
use tiefsee::engine::{BLOCK, Engine, Event, Limits, Request, Sampling, SequenceId};
use tiefsee::gpu::cache;
use tiefsee::models::WeightOptions;
use tiefsee::{Llm, LoadOptions, Message, Role};

use engines::{answer, lead, start, step};

const PROMPTS: usize = 200;
const CONTEXT: usize = 320;
/// Of the cache: too few for eight sequences.
const BLOCKS: usize = 11;

fn engine(sequences: usize, cache_tokens: usize) -> Engine {
    let limits = Limits {
        context: CONTEXT,
        sequences,
        step_tokens: 64,
        cache_tokens,
        cache_type: &cache::F32,
    };
    start("examples/demo-model", WeightOptions::default(), limits)
}

/// Problems of the bundled model, every fifth after a long preface that others begin with, too; every third is answered by chance.
fn requests() -> Vec<Request> {
    let options = LoadOptions {
        device: common::options(),
        context: Some(CONTEXT),
        ..LoadOptions::default()
    };
    let llm = pollster::block_on(Llm::load("demo", options)).expect("the bundled model");
    let golden: Value = serde_json::from_str(include_str!("golden/demo.json")).expect("JSON");
    let problems = golden["problems"].as_array().expect("a list");
    let question = |nth: usize| problems[nth]["question"].as_str().expect("a text");
    (0..PROMPTS)
        .map(|nth| {
            let preface = if nth % 5 == 4 { 3 + nth / 5 % 6 } else { 0 };
            let content: Vec<_> = (0..preface).chain([nth]).map(question).collect();
            let message = Message::new(Role::User, content.join(" "));
            let seed = nth as u64;
            Request {
                tokens: llm.prompt(&[message]).expect("a prompt").tokens,
                max_tokens: 8 + nth * 7 % 41,
                stop_tokens: vec![1],
                sampling: Sampling {
                    temperature: if nth % 3 == 2 { 1.0 } else { 0.0 },
                    top_p: 0.95,
                    seed,
                    ..Sampling::GREEDY
                },
                logprobs: (nth % 7 == 3).then_some(2),
                ..Request::default()
            }
        })
        .collect()
}

/// Requests under way in random batches, and what has become of all of them.
struct Crowd<'a> {
    requests: &'a [Request],
    running: HashMap<SequenceId, (usize, Vec<u32>)>,
    /// Each request's answer as far as it came, and whether it was cancelled.
    answers: Vec<(Vec<u32>, bool)>,
    cached: usize,
}

impl Crowd<'_> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Began(_, cached) => self.cached += cached,
            Event::Token(id, chosen) => {
                let (_, tokens) = self.running.get_mut(&id).expect("it is under way");
                tokens.push(chosen.token);
            }
            Event::Finished(id, _) => self.end(id, false),
            Event::Failed(_, error) => panic!("{error}"),
            Event::Routes(..) | Event::Prompt(..) => {}
        }
    }

    fn end(&mut self, id: SequenceId, is_cancelled: bool) {
        let (request, tokens) = self.running.remove(&id).expect("it is under way");
        self.answers[request] = (tokens, is_cancelled);
    }

    /// Up to eight at once, others coming as some end; a few are cancelled.
    fn run(&mut self, engine: &mut Engine, seed: u32) {
        let mut random = seed;
        let mut draw = move |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        let mut order = common::shuffled(self.requests.len(), u64::from(seed));
        let mut most = 8;
        while !order.is_empty() || !engine.is_idle() {
            while self.running.len() < most && draw(3) != 0 {
                let Some(request) = order.pop().map(|request| request as usize) else {
                    break;
                };
                let id = engine.add(self.requests[request].clone()).expect("it fits");
                self.running.insert(id, (request, Vec::new()));
            }
            if draw(40) == 0 {
                most = 1 + draw(8);
            }
            if draw(60) == 0
                && let Some(&id) = self.running.keys().min()
            {
                engine.cancel(id);
                self.end(id, true);
            }
            for event in step(engine) {
                self.take(event);
            }
        }
    }
}

#[test]
fn answers_are_the_same_alone_and_in_any_batch() {
    let requests = requests();
    let started = Instant::now();
    let mut single = engine(1, CONTEXT);
    let expected: Vec<_> = requests.iter().map(|it| answer(&mut single, it)).collect();
    println!("alone: {:.1} s", started.elapsed().as_secs_f64());

    let mut engine = engine(8, BLOCKS * BLOCK);
    for (round, in_flight) in [4, 1].into_iter().enumerate() {
        let started = Instant::now();
        engine.keep_in_flight(NonZeroUsize::new(in_flight).expect("not 0"));
        let mut crowd = Crowd {
            requests: &requests,
            running: HashMap::new(),
            answers: vec![(Vec::new(), true); PROMPTS],
            cached: 0,
        };
        let before = engine.load().preemptions;
        crowd.run(&mut engine, 4321 + round as u32);
        let preemptions = engine.load().preemptions - before;
        let cancelled = crowd.answers.iter().filter(|answer| answer.1).count();
        println!(
            "together, {in_flight} steps under way: {:.1} s, {cancelled} cancelled, {preemptions} lost their blocks, {} tokens found",
            started.elapsed().as_secs_f64(),
            crowd.cached
        );
        let mut different = 0;
        for (nth, (tokens, is_cancelled)) in crowd.answers.iter().enumerate() {
            let whole = &expected[nth];
            let part = if *is_cancelled {
                &whole[..tokens.len().min(whole.len())]
            } else {
                whole
            };
            if tokens != part {
                let same = tokens.iter().zip(whole).take_while(|(a, b)| a == b).count();
                let lead = lead(&mut single, &requests[nth], &whole[..same]);
                println!(
                    "request {nth} differs at token {same}, where the best leads by {lead:.2e} nats"
                );
                different += 1;
            }
        }
        assert_eq!(different, 0, "answers depend on what runs beside them");
        assert!((3..=PROMPTS / 4).contains(&cancelled), "{cancelled}");
        assert!(preemptions >= 5, "only {preemptions} lost their blocks");
        assert!(crowd.cached > 0);
    }
    assert_eq!(engine.load().free_blocks, BLOCKS, "a block was lost");
}

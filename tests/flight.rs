//! Steps under way together: the answers of one at a time, one submit a step, and no new buffers.

mod common;
#[path = "common/engines.rs"]
mod engines;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;

use tiefsee::engine::{BLOCK, Engine, Event, Limits, Request, Sampling, SequenceId};
use tiefsee::gpu::{Gpu, cache};
use tiefsee::models::WeightOptions;

use engines::{answer, load, step};

const CONTEXT: usize = 6 * BLOCK;

/// An engine for up to three sequences with room for less than that, and its device.
fn engine(model: &str) -> (Engine, Rc<Gpu>) {
    let (gpu, model) = load(model, WeightOptions::default());
    let limits = Limits {
        context: CONTEXT,
        sequences: 3,
        step_tokens: 40,
        cache_tokens: 8 * BLOCK,
        cache_type: &cache::F32,
    };
    let engine = pollster::block_on(Engine::new(Rc::clone(&gpu), model, limits));
    (engine.expect("room for the cache"), gpu)
}

fn greedy(prompt: impl IntoIterator<Item = u32>, max_tokens: usize) -> Request {
    Request {
        tokens: prompt.into_iter().collect(),
        max_tokens,
        ..Request::default()
    }
}

fn seeded(seed: u64, request: Request) -> Request {
    let sampling = Sampling {
        temperature: 2.0,
        top_p: 0.95,
        seed,
        ..Sampling::GREEDY
    };
    Request {
        sampling,
        ..request
    }
}

/// Prompts of several lengths, two of which begin alike, and every way of choosing tokens. Stop tokens end
/// some answers, their lengths others.
fn requests() -> Vec<Request> {
    let prompt = |start: u32, tokens: u32| (0..tokens).map(move |n| 3 + (start + n * n) % 60);
    let mut requests = vec![
        greedy(prompt(1, 5), 30),
        seeded(1, greedy(prompt(2, 60), 40)),
        seeded(2, greedy(prompt(2, 50).chain([9, 8]), 25)),
        greedy(prompt(2, 45).chain([7]), 9),
        seeded(3, greedy(prompt(5, 1), 50)),
        seeded(4, greedy(prompt(6, 90), 1)),
        seeded(5, greedy(prompt(7, 33), 60)),
        seeded(6, greedy(prompt(8, 20), 15)),
    ];
    // Twenty of a hundred tokens: answers of high temperature end soon.
    let stops: Vec<u32> = (0..20).map(|n| 5 * n + 1).collect();
    for request in [4, 6] {
        requests[request].stop_tokens.clone_from(&stops);
        requests[request].sampling.temperature = 30.0;
    }
    requests[1].stop_tokens = vec![20, 21];
    requests[2].sampling.top_k = 5;
    requests[2].sampling.min_p = 0.02;
    requests[7].sampling.repetition_penalty = 1.3;
    requests
}

/// Each request's answer, run alone and one step at a time.
fn answers(engine: &mut Engine, requests: &[Request]) -> Vec<Vec<u32>> {
    engine.keep_in_flight(NonZeroUsize::MIN);
    requests.iter().map(|it| answer(engine, it)).collect()
}

/// Adds and cancels requests at random steps; every answer must be what it is alone, as far as it came.
fn disturb(engine: &mut Engine, requests: &[Request], expected: &[Vec<u32>], seed: u32) {
    let mut random = seed;
    let mut draw = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut order = common::shuffled(requests.len(), u64::from(seed));
    let mut running: HashMap<SequenceId, (usize, Vec<u32>)> = HashMap::new();
    let mut complete = 0;
    while !order.is_empty() || !engine.is_idle() {
        if draw(4) == 0 {
            if let Some(request) = order.pop() {
                let request = request as usize;
                let id = engine.add(requests[request].clone()).expect("it fits");
                running.insert(id, (request, Vec::new()));
            }
        }
        if draw(25) == 0 {
            if let Some(&id) = running.keys().min() {
                engine.cancel(id);
                let (request, tokens) = running.remove(&id).expect("it was found");
                assert_eq!(
                    tokens,
                    expected[request][..tokens.len()],
                    "request {request}"
                );
            }
        }
        for event in step(engine) {
            match event {
                Event::Token(id, chosen) => {
                    let (_, tokens) = running.get_mut(&id).expect("a cancelled one says nothing");
                    tokens.push(chosen.token);
                }
                Event::Finished(id, _) => {
                    let (request, tokens) = running.remove(&id).expect("it ends once");
                    assert_eq!(tokens, expected[request], "request {request}");
                    complete += 1;
                }
                Event::Began(..) | Event::Routes(..) | Event::Prompt(..) => {}
                Event::Failed(_, error) => panic!("{error}"),
            }
        }
    }
    assert!(running.is_empty());
    assert!(complete >= 4, "only {complete} answers came to their ends");
}

#[test]
fn answers_do_not_depend_on_the_steps_under_way() {
    for model in ["tests/golden/dsv3", "tests/golden/qwen2tied"] {
        let (mut engine, _) = engine(model);
        let requests = requests();
        let expected = answers(&mut engine, &requests);
        let lengths: Vec<_> = expected.iter().map(Vec::len).collect();
        assert!(
            lengths[4] < 50 || lengths[6] < 60,
            "{lengths:?}: nothing stops"
        );
        for steps in [1, 2, 4, 6] {
            engine.keep_in_flight(NonZeroUsize::new(steps).expect("not 0"));
            for seed in 0..4 {
                println!("{model}, {steps} steps under way, disturbed by {seed}");
                disturb(&mut engine, &requests, &expected, 77 + seed);
            }
        }
    }
}

#[test]
fn a_step_is_one_submit_and_takes_no_memory() {
    let (mut engine, gpu) = engine("tests/golden/dsv3");
    engine.keep_in_flight(NonZeroUsize::new(4).expect("not 0"));
    for request in [greedy([5, 6, 7], 150), seeded(9, greedy([5, 6, 7], 150))] {
        engine.add(request).expect("it fits");
        // Until its time is known, and a buffer for each step under way is there.
        for _ in 0..30 {
            step(&mut engine);
        }
        let before = gpu.counts();
        for _ in 0..64 {
            let events = step(&mut engine);
            assert!(matches!(events[..], [Event::Token(..)]), "{events:?}");
        }
        let work = gpu.counts();
        assert_eq!(work.buffers, before.buffers, "buffers were made");
        // A busy machine makes a step look longer than it is, and splits it.
        assert_eq!(work.submits - before.submits, 64);
        while !engine.is_idle() {
            step(&mut engine);
        }
    }
}

#[test]
fn a_cancelled_answer_is_over_at_once() {
    let (mut engine, _) = engine("tests/golden/dsv3");
    let prompt = 5..BLOCK as u32 + 7;
    let first = engine.add(greedy(prompt.clone(), 100)).expect("it fits");
    for _ in 0..9 {
        step(&mut engine);
    }
    engine.cancel(first);
    assert!(engine.is_idle());
    assert!(
        step(&mut engine).is_empty(),
        "nobody waits for what is of no use"
    );
    // The next one goes on from its cache, in which steps that nobody waited for have written.
    let next = engine.add(greedy(prompt, 20)).expect("it fits");
    let events = step(&mut engine);
    assert!(
        matches!(events[..], [Event::Began(id, BLOCK), Event::Token(same, _)] if (id, same) == (next, next)),
        "{events:?}"
    );
}

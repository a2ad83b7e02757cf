//! Guessed tokens: the answers of one token at a time, in fewer steps.

mod common;
#[path = "common/engines.rs"]
mod engines;

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;
use tiefsee::engine::{
    BLOCK, Engine, Event, LOOK_UP, Limits, Request, Sampling, SequenceId, Speculate, look_up,
};
use tiefsee::gpu::cache;
use tiefsee::models::WeightOptions;

use engines::{lead, start, step};

/// How near the best token another must be to be as good: steps of several tokens round otherwise.
const TIE: f64 = 1e-3;

fn engine(model: &str, sequences: usize, how: Speculate) -> Engine {
    let limits = Limits {
        context: 16 * BLOCK,
        sequences,
        step_tokens: 64,
        // Too few blocks for all sequences at their longest.
        cache_tokens: 16 * BLOCK + 8 * BLOCK * (sequences - 1),
        cache_type: &cache::F32,
    };
    let weights = WeightOptions {
        quantize: None,
        prediction: how.predicts(),
    };
    let mut engine = start(model, weights, limits);
    engine.speculate(how);
    engine
}

const DEMO: &str = "examples/demo-model";
const DSV3: &str = "tests/golden/dsv3";

/// Problems of the bundled model with the tokens of its answers under transformers.
fn problems() -> Vec<(Request, Vec<u32>)> {
    let golden: Value = serde_json::from_str(include_str!("golden/demo.json")).expect("JSON");
    let problems = golden["problems"].as_array().expect("a list");
    let ids = |value: &Value| -> Vec<u32> {
        serde_json::from_value(value.clone()).expect("a list of ids")
    };
    let problem = |problem: &Value| {
        let request = Request {
            tokens: ids(&problem["prompt_ids"]),
            max_tokens: 400,
            stop_tokens: vec![1],
            ..Request::default()
        };
        let mut answer = ids(&problem["completion_ids"]);
        answer.pop_if(|token| *token == 1);
        (request, answer)
    };
    problems[..100].iter().map(problem).collect()
}

fn seeded(request: &Request, seed: u64) -> Request {
    let sampling = Sampling {
        temperature: 0.8,
        top_p: 0.95,
        seed,
        ..Sampling::GREEDY
    };
    Request {
        sampling,
        ..request.clone()
    }
}

/// A request's answer by itself, and the steps that it took after the prompt.
fn alone(engine: &mut Engine, request: &Request) -> (Vec<u32>, usize) {
    engine.add(request.clone()).expect("it fits");
    let (mut tokens, mut steps) = (Vec::new(), 0);
    while !engine.is_idle() {
        let is_answering = !tokens.is_empty();
        for event in step(engine) {
            match event {
                Event::Token(_, chosen) => tokens.push(chosen.token),
                Event::Failed(_, error) => panic!("{error}"),
                _ => {}
            }
        }
        steps += usize::from(is_answering);
    }
    (tokens, steps)
}

/// Fails unless two answers are alike, or part where two tokens are nearly as likely, which is told.
#[track_caller]
fn assert_alike(plain: &mut Engine, request: &Request, expected: &[u32], actual: &[u32]) {
    if actual == expected {
        return;
    }
    let same = expected.iter().zip(actual).take_while(|(a, b)| a == b);
    let same = same.count();
    let lead = lead(plain, request, &expected[..same]);
    println!("answers part after {same} tokens, where the best one leads by {lead}");
    let is_drawn = request.sampling.temperature > 0.0;
    assert!(
        lead < TIE || is_drawn && same > 0,
        "{expected:?} {actual:?}"
    );
}

#[test]
fn problems_are_answered_alike_with_nearly_two_tokens_a_step() {
    let mut engine = engine(DEMO, 1, Speculate::On);
    let (mut tokens, mut steps) = (0, 0);
    for (request, expected) in &problems()[..48] {
        let (answer, took) = alone(&mut engine, request);
        assert_eq!(&answer, expected);
        tokens += answer.len() - 1;
        steps += took;
    }
    let guesses = engine.guesses();
    let each = tokens as f64 / steps as f64;
    println!("{tokens} tokens in {steps} steps, {each} each; {guesses:?}");
    assert!(each >= 1.8, "{each} tokens a step");
    assert!(guesses.right <= guesses.made && guesses.made <= steps);
    assert!(100 * guesses.right >= 95 * guesses.made, "{guesses:?}");
}

/// Rounds by turns, which print what they took, by the clock and of the processor: on a software adapter two rows
/// cost nearly twice what one does, so that is no matter of right and wrong.
#[test]
fn guesses_are_timed() {
    let problems = problems();
    let mut engines = [Speculate::Off, Speculate::On].map(|how| {
        let mut engine = engine(DEMO, 1, how);
        // Kernels are compiled.
        alone(&mut engine, &problems[0].0);
        engine
    });
    for round in 0..5 {
        let part = &problems[16 * round..16 * (round + 1)];
        let [plain, guessing] = engines.each_mut().map(|engine| {
            let (started, before) = (Instant::now(), common::process_time());
            let mut tokens = 0;
            for (request, expected) in part {
                let (answer, _) = alone(engine, request);
                assert_eq!(&answer, expected);
                tokens += answer.len();
            }
            let speed = tokens as f64 / started.elapsed().as_secs_f64();
            println!("round {round}: {speed:.0} tokens a second");
            1e3 * (common::process_time() - before) / tokens as f64
        });
        println!("round {round}: {plain:.3} and {guessing:.3} ms of the processor for a token");
    }
}

#[test]
fn drawn_answers_of_a_seed_are_the_same() {
    let (mut plain, mut guessing) = (
        engine(DEMO, 1, Speculate::Off),
        engine(DEMO, 1, Speculate::On),
    );
    for (seed, (request, _)) in problems()[..16].iter().enumerate() {
        let request = seeded(request, seed as u64);
        let (expected, steps) = alone(&mut plain, &request);
        let (actual, fewer) = alone(&mut guessing, &request);
        assert_eq!(actual, expected, "seed {seed}");
        assert!(
            fewer <= steps,
            "seed {seed}: {fewer} steps instead of {steps}"
        );
    }
    assert_eq!(plain.guesses().made, 0);
    assert!(guessing.guesses().right > 0);
}

/// Requests in random batches, some of which are cancelled; each answer as far as it came.
fn crowd(engine: &mut Engine, requests: &[Request], seed: u32) -> Vec<(Vec<u32>, bool)> {
    let mut random = seed;
    let mut draw = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut order = common::shuffled(requests.len(), u64::from(seed));
    let mut answers = vec![(Vec::new(), false); requests.len()];
    let mut running: HashMap<SequenceId, usize> = HashMap::new();
    while !order.is_empty() || !engine.is_idle() {
        if draw(3) == 0
            && let Some(request) = order.pop()
        {
            let request = request as usize;
            let id = engine.add(requests[request].clone()).expect("it fits");
            running.insert(id, request);
        }
        if draw(60) == 0
            && let Some(&id) = running.keys().min()
        {
            engine.cancel(id);
            running.remove(&id);
        }
        for event in step(engine) {
            match event {
                Event::Token(id, chosen) => answers[running[&id]].0.push(chosen.token),
                Event::Finished(id, _) => {
                    let request = running.remove(&id).expect("it ends once");
                    answers[request].1 = true;
                }
                Event::Failed(_, error) => panic!("{error}"),
                _ => {}
            }
        }
    }
    answers
}

#[test]
fn random_batches_answer_as_one_at_a_time() {
    for (model, seeds) in [(DEMO, 1), (DSV3, 3)] {
        let requests: Vec<Request> = match model {
            DEMO => {
                let problems = problems();
                let drawn = |(n, (request, _)): (usize, &(Request, Vec<u32>))| match n % 3 {
                    2 => seeded(request, n as u64),
                    _ => request.clone(),
                };
                problems[..24].iter().enumerate().map(drawn).collect()
            }
            _ => unrelated_requests(),
        };
        let mut plain = engine(model, 1, Speculate::Off);
        let expected: Vec<_> = requests
            .iter()
            .map(|request| alone(&mut plain, request).0)
            .collect();
        for how in [Speculate::On, Speculate::Auto, Speculate::Lookup] {
            let mut guessing = engine(model, 4, how);
            for seed in 0..seeds {
                let answers = crowd(&mut guessing, &requests, 7 + seed);
                let ended = answers.iter().filter(|(_, is_over)| *is_over).count();
                assert!(2 * ended > requests.len(), "{ended} answers ended");
                for (request, (actual, is_over)) in answers.iter().enumerate() {
                    let expected = &expected[request];
                    let expected = if *is_over {
                        &expected[..]
                    } else {
                        &expected[..actual.len()]
                    };
                    assert_alike(&mut plain, &requests[request], expected, actual);
                }
            }
            println!("{model}, {how:?}: {:?}", guessing.guesses());
            assert!(guessing.guesses().made > 0);
        }
    }
}

/// Prompts without sense, of several lengths, with every way of choosing; stop tokens end some answers.
fn unrelated_requests() -> Vec<Request> {
    let prompt = |start: u32, tokens: u32| (0..tokens).map(move |n| 3 + (start + n * n) % 60);
    let request = |n: u32| {
        let request = Request {
            tokens: prompt(n, 1 + 17 * n % 90).collect(),
            max_tokens: 5 + (n as usize * 13) % 50,
            stop_tokens: if n.is_multiple_of(2) {
                vec![20, 21]
            } else {
                vec![]
            },
            ..Request::default()
        };
        match n % 4 {
            0 => request,
            1 => seeded(&request, u64::from(n)),
            2 => Request {
                sampling: Sampling {
                    repetition_penalty: 1.3,
                    ..Sampling::GREEDY
                },
                ..request
            },
            _ => Request {
                min_tokens: 4,
                ..request
            },
        }
    };
    (0..12).map(request).collect()
}

#[test]
fn what_followed_before_is_looked_up() {
    assert!(look_up(&[]).is_empty());
    assert!(look_up(&[5, 6, 7]).is_empty());
    assert_eq!(look_up(&[1, 2, 3, 4, 5, 6, 7, 1, 2]), [3, 4, 5, 6]);
    // The last place, of the longest part.
    assert_eq!(
        look_up(&[9, 1, 2, 3, 4, 8, 1, 2, 5, 5, 9, 1, 2]),
        [3, 4, 8, 1]
    );
    assert_eq!(look_up(&[1, 2, 3, 9, 1, 2, 7, 9, 0, 1, 2]), [7, 9, 0, 1]);
    // What repeats itself goes on so.
    assert_eq!(look_up(&[4, 4, 4]), [4; LOOK_UP]);
    assert_eq!(look_up(&[8, 1, 2, 3, 1, 2, 3]), [1, 2, 3, 1]);
}

/// A model without a layer of predictions, and a prompt that says the same again and again.
#[test]
fn a_prompt_that_repeats_itself_takes_fewer_steps() {
    let model = "tests/golden/qwen2";
    let tokens: Vec<u32> = (0..120).map(|n| 3 + (n % 12) * 5).collect();
    let request = Request {
        tokens,
        max_tokens: 200,
        ..Request::default()
    };
    let (mut plain, mut guessing) = (
        engine(model, 1, Speculate::Off),
        engine(model, 1, Speculate::On),
    );
    for request in [request.clone(), seeded(&request, 3)] {
        let (expected, steps) = alone(&mut plain, &request);
        let (actual, fewer) = alone(&mut guessing, &request);
        assert_alike(&mut plain, &request, &expected, &actual);
        println!("{fewer} steps instead of {steps}, {:?}", guessing.guesses());
    }
    let (_, steps) = alone(&mut plain, &request);
    let (_, fewer) = alone(&mut guessing, &request);
    assert!(2 * fewer < steps, "{fewer} steps instead of {steps}");
}

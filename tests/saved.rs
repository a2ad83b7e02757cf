//! Saved caches: another engine goes on from them, and only from whole ones of its own kind.

mod common;
#[path = "common/engines.rs"]
mod engines;

use tiefsee::Error;
use tiefsee::engine::{BLOCK, Engine, Event, Limits, Request};
use tiefsee::gpu::{CacheType, cache};
use tiefsee::models::WeightOptions;

use engines::{start, step};

const MODEL: [u8; 32] = [7; 32];

fn engine(model: &str, cache_type: &'static CacheType, blocks: usize) -> Engine {
    let limits = Limits {
        context: 4 * BLOCK,
        sequences: 2,
        step_tokens: 64,
        cache_tokens: blocks * BLOCK,
        cache_type,
    };
    let model = format!("tests/golden/{model}");
    start(&model, WeightOptions::default(), limits)
}

fn prompt() -> Vec<u32> {
    (0..100).map(|n| 3 + n * n % 61).collect()
}

/// The tokens of an answer, and how many of the prompt's were in the cache.
fn answer(engine: &mut Engine) -> (usize, Vec<u32>) {
    let request = Request {
        tokens: prompt(),
        max_tokens: 12,
        ..Request::default()
    };
    engine.add(request).expect("it fits");
    let (mut found, mut tokens) = (0, Vec::new());
    while !engine.is_idle() {
        for event in step(engine) {
            match event {
                Event::Began(_, cached) => found = cached,
                Event::Token(_, chosen) => tokens.push(chosen.token),
                _ => {}
            }
        }
    }
    (found, tokens)
}

fn save(engine: &mut Engine) -> Vec<u8> {
    let saved = pollster::block_on(engine.save(&MODEL, &prompt())).expect("no error");
    saved.expect("the prompt ran")
}

#[test]
fn another_engine_goes_on_from_a_saved_cache() {
    for model in ["dsv3", "dsv32", "qwen2tied"] {
        for kind in cache::ALL {
            let mut first = engine(model, kind, 8);
            let nothing = pollster::block_on(first.save(&MODEL, &prompt()));
            assert!(nothing.expect("no error").is_none());
            let (_, expected) = answer(&mut first);
            let saved = save(&mut first);

            let mut second = engine(model, kind, 8);
            let restored = second.restore(&MODEL, "a file", &saved);
            assert_eq!(restored.expect("it is whole"), 3 * BLOCK);
            assert_eq!(
                answer(&mut second),
                (3 * BLOCK, expected),
                "{model}, {}",
                kind.name
            );
            // What is there already stays, and what comes back is what went out.
            assert_eq!(
                second.restore(&MODEL, "a file", &saved).expect("whole"),
                3 * BLOCK
            );
            assert!(save(&mut second) == saved);
            assert_eq!(second.load().free_blocks, 8, "blocks are held");
        }
    }
}

#[test]
fn damaged_and_foreign_caches_are_refused() {
    let mut first = engine("dsv3", &cache::F32, 8);
    answer(&mut first);
    let saved = save(&mut first);
    let mut second = engine("dsv3", &cache::F32, 8);
    let damaged = |result: Result<usize, Error>| match result {
        Err(error) => {
            assert_eq!(error.exit_code(), 4, "{error}");
            assert!(error.to_string().contains("a file"), "{error}");
        }
        Ok(tokens) => panic!("{tokens} tokens were used"),
    };
    for at in (0..100).chain((100..saved.len()).step_by(499)) {
        let mut wrong = saved.clone();
        wrong[at] ^= 1;
        damaged(second.restore(&MODEL, "a file", &wrong));
        damaged(second.restore(&MODEL, "a file", &saved[..at]));
    }
    damaged(second.restore(&MODEL, "a file", &[&saved[..], &[0]].concat()));
    damaged(second.restore(&[8; 32], "a file", &saved));
    damaged(engine("dsv3", &cache::F16, 8).restore(&MODEL, "a file", &saved));
    damaged(engine("qwen2tied", &cache::F32, 8).restore(&MODEL, "a file", &saved));
    assert_eq!(answer(&mut second).0, 0, "nothing of them was used");
}

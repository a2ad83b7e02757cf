//! Answers that are under way together are what each of them is alone.

mod common;
#[path = "common/poisoned.rs"]
mod poisoned;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::rc::Rc;

use futures::{StreamExt, pin_mut};
use pollster::block_on;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;
use tiefsee::checkpoint::Source;
use tiefsee::engine::Sampling;
use tiefsee::llm::{AnswerId, open_source};
use tiefsee::text::Prompt;
use tiefsee::{Completion, Error, GenerateOptions, Llm, LoadOptions, Message, Role, Update};

fn load(sequences: usize) -> Llm {
    load_from(open_source("demo").expect("it is bundled"), sequences)
}

fn load_from(source: Rc<dyn Source>, sequences: usize) -> Llm {
    let options = LoadOptions {
        device: common::options(),
        sequences,
        context: Some(512),
        // As on a GPU, also where the adapter is software.
        in_flight: NonZeroUsize::new(4),
        ..LoadOptions::default()
    };
    block_on(Llm::load_from(source, options, &|_| ())).expect("the bundled model")
}

fn prompts(llm: &Llm, count: usize) -> Vec<Prompt> {
    let golden = include_str!("golden/demo.json");
    let golden: Value = serde_json::from_str(golden).expect("JSON");
    let problems = golden["problems"].as_array().expect("a list");
    let prompt = |problem: &Value| {
        let question = problem["question"].as_str().expect("a text");
        let messages = [Message::new(Role::User, question)];
        llm.prompt(&messages).expect("a prompt")
    };
    let problems = problems.iter().step_by(7);
    problems.take(count).map(prompt).collect()
}

/// The options of the answer number `index`: every other one is drawn.
fn options(llm: &Llm, index: usize) -> GenerateOptions {
    let mut options = llm.defaults(index as u64);
    if index.is_multiple_of(2) {
        options.sampling = Sampling::GREEDY;
    }
    options.max_tokens = Some(40);
    options
}

fn alone(llm: &mut Llm, prompts: &[Prompt]) -> Vec<Completion> {
    let mut completions = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let options = options(llm, index);
        let updates = llm.generate(prompt, &options).expect("it fits");
        let updates: Vec<_> = block_on(updates.collect());
        match updates.into_iter().last() {
            Some(Ok(Update::Done(completion))) => completions.push(completion),
            other => panic!("{other:?}"),
        }
    }
    completions
}

/// What became of answers so far.
#[derive(Default)]
struct Heard {
    text: BTreeMap<AnswerId, String>,
    done: BTreeMap<AnswerId, Completion>,
    failed: BTreeMap<AnswerId, Error>,
    lost: usize,
    reopened: usize,
}

impl Heard {
    fn step(&mut self, llm: &mut Llm) {
        for (id, update) in block_on(llm.step()).expect("a step") {
            assert!(!self.done.contains_key(&id) && !self.failed.contains_key(&id));
            match update {
                Ok(Update::Text(text)) => self.text.entry(id).or_default().push_str(&text),
                Ok(Update::Done(completion)) => _ = self.done.insert(id, completion),
                Ok(Update::DeviceLost(_)) => self.lost += 1,
                Ok(Update::DeviceReopened) => self.reopened += 1,
                Ok(_) => {}
                Err(error) => _ = self.failed.insert(id, error),
            }
        }
    }

    #[track_caller]
    fn assert_same(&self, id: AnswerId, alone: &Completion) {
        let together = &self.done[&id];
        assert_eq!(together.tokens, alone.tokens);
        assert_eq!(together.text, alone.text);
        assert_eq!(together.content, alone.content);
        assert_eq!(together.finish_reason, alone.finish_reason);
        assert_eq!(self.text[&id], alone.text);
    }
}

#[test]
fn answers_together_equal_answers_alone() {
    let mut llm = load(4);
    let prompts = prompts(&llm, 12);
    let alone = alone(&mut load(1), &prompts);
    let mut random = Pcg64::seed_from_u64(6);
    let mut below = |limit: u32| (random.next_u32() % limit) as usize;
    for _ in 0..2 {
        let mut heard = Heard::default();
        let mut next = 0;
        let mut under_way: Vec<(AnswerId, usize)> = Vec::new();
        let mut cancelled = Vec::new();
        while next < prompts.len() || !llm.is_idle() {
            if next < prompts.len() && below(5) == 0 {
                let options = options(&llm, next);
                let id = llm.begin(&prompts[next], &options).expect("it fits");
                under_way.push((id, next));
                next += 1;
            }
            if !under_way.is_empty() && below(40) == 0 {
                let (id, _) = under_way.swap_remove(below(under_way.len() as u32));
                if !heard.done.contains_key(&id) {
                    llm.cancel(id);
                    cancelled.push(id);
                }
            }
            heard.step(&mut llm);
        }
        for (id, index) in under_way {
            heard.assert_same(id, &alone[index]);
        }
        assert!(heard.failed.is_empty() && !cancelled.is_empty());
        assert!(cancelled.iter().all(|id| !heard.done.contains_key(id)));
        assert!(llm.engine().is_idle());
    }
}

#[test]
fn an_answer_that_fails_leaves_the_others_alone() {
    let mut llm = load_from(poisoned::demo(), 1);
    let mut prompts = prompts(&llm, 3);
    let alone = alone(&mut load(1), &prompts);
    prompts[1].tokens.push(poisoned::TOKEN);
    let mut heard = Heard::default();
    let first = llm.begin(&prompts[0], &options(&llm, 0)).expect("it fits");
    heard.step(&mut llm);
    let failing = llm.begin(&prompts[1], &options(&llm, 1)).expect("it fits");
    let last = llm.begin(&prompts[2], &options(&llm, 2)).expect("it fits");
    while !llm.is_idle() {
        heard.step(&mut llm);
    }
    assert!(matches!(heard.failed[&failing], Error::NonFinite { .. }));
    heard.assert_same(first, &alone[0]);
    heard.assert_same(last, &alone[2]);
}

#[test]
fn a_lost_device_is_reopened_for_all_answers_at_once() {
    let mut llm = load(3);
    let prompts = prompts(&llm, 4);
    let alone = alone(&mut load(1), &prompts);
    let mut heard = Heard::default();
    let begin = |llm: &mut Llm, index: usize| {
        let options = options(llm, index);
        llm.begin(&prompts[index], &options).expect("it fits")
    };
    let ids: Vec<_> = (0..3).map(|index| begin(&mut llm, index)).collect();
    for _ in 0..6 {
        heard.step(&mut llm);
    }
    Rc::clone(llm.engine().runner().gpu()).destroy();
    while heard.lost == 0 {
        heard.step(&mut llm);
    }
    let late = begin(&mut llm, 3);
    while !llm.is_idle() {
        heard.step(&mut llm);
    }
    assert_eq!((heard.lost, heard.reopened), (3, 3));
    for (id, alone) in ids.iter().chain([&late]).zip(&alone) {
        heard.assert_same(*id, alone);
    }
}

#[test]
fn an_answer_loses_the_device_only_once() {
    let mut llm = load(2);
    let prompts = prompts(&llm, 2);
    let alone = alone(&mut load(1), &prompts);
    let mut heard = Heard::default();
    let unlucky = llm.begin(&prompts[1], &options(&llm, 1)).expect("it fits");
    heard.step(&mut llm);
    for times in 1..=2 {
        Rc::clone(llm.engine().runner().gpu()).destroy();
        while heard.lost + heard.failed.len() < times {
            heard.step(&mut llm);
        }
        while times == 1 && heard.reopened == 0 {
            heard.step(&mut llm);
        }
    }
    assert!(matches!(heard.failed[&unlucky], Error::DeviceLost(_)));
    assert!(!llm.is_idle(), "the device is still to be opened");
    let lucky = llm.begin(&prompts[0], &options(&llm, 0)).expect("it fits");
    while !llm.is_idle() {
        heard.step(&mut llm);
    }
    heard.assert_same(lucky, &alone[0]);
}

#[test]
fn one_that_is_waited_for_takes_nothing_from_others() {
    let mut llm = load(2);
    let prompts = prompts(&llm, 2);
    let alone = alone(&mut load(1), &prompts);
    let mut heard = Heard::default();
    let id = llm.begin(&prompts[0], &options(&llm, 0)).expect("it fits");
    let options = options(&llm, 1);
    block_on(async {
        let updates = llm.generate(&prompts[1], &options).expect("it fits");
        pin_mut!(updates);
        for _ in 0..4 {
            updates.next().await.expect("more").expect("no error");
        }
    });
    while !llm.is_idle() {
        heard.step(&mut llm);
    }
    heard.assert_same(id, &alone[0]);
    assert_eq!(heard.done.len(), 1);
}

//! Scheduling, without a GPU and without a model.

mod blocks;
mod world;

use std::collections::{HashMap, HashSet, VecDeque};

use tiefsee::Error;
use tiefsee::engine::{FinishReason, Limits, Planned, Scheduler, SequenceId};

use world::{LIMITS, World, expected, request};

#[test]
fn prompts_run_in_chunks_and_continue() {
    let mut scheduler = Scheduler::new(LIMITS);
    let prompt: Vec<u32> = (10..110).collect();
    let id = scheduler.add(request(prompt.clone(), 5)).expect("it fits");
    let lengths: Vec<_> = std::iter::from_fn(|| {
        let plan = scheduler.plan();
        let planned = plan.first()?.clone();
        scheduler.ran(&planned);
        if planned.complete {
            scheduler.push(id, 2);
        }
        Some(planned.span.tokens.len())
    })
    .collect();
    assert_eq!(lengths, [40, 40, 20, 1, 1, 1, 1]);
}

#[test]
fn stop_tokens_and_lengths_end_a_sequence() {
    let mut scheduler = Scheduler::new(LIMITS);
    let id = scheduler.add(request([5], 2)).expect("it fits");
    for (token, reason) in [(7, None), (8, Some(FinishReason::Length))] {
        let plan = scheduler.plan();
        scheduler.ran(&plan[0]);
        assert_eq!(scheduler.push(id, token), reason);
    }
    let id = scheduler.add(request([9], 9)).expect("it fits");
    let plan = scheduler.plan();
    scheduler.ran(&plan[0]);
    assert_eq!(scheduler.push(id, 1), Some(FinishReason::Stop));
    assert!(scheduler.plan().is_empty());
}

#[test]
fn prompts_that_cannot_be_answered_are_refused() {
    let mut scheduler = Scheduler::new(LIMITS);
    assert!(matches!(
        scheduler.add(request([], 5)),
        Err(Error::Usage(_))
    ));
    let full = scheduler.add(request(0..LIMITS.context as u32, 5));
    assert!(matches!(
        full,
        Err(Error::ContextExceeded {
            prompt: 128,
            context: 128
        })
    ));
    assert!(
        scheduler
            .add(request(0..LIMITS.context as u32 - 1, 5))
            .is_ok()
    );
}

/// Random arrivals and cancellations, with up to `depth` plans under way.
fn disturb(seed: u32, depth: usize) {
    let mut random = seed;
    let mut draw = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let mut world = World::new(LIMITS, depth);
    let mut wanted = HashMap::new();
    let mut cancelled = HashSet::new();
    for _ in 0..60 {
        if draw(3) == 0 {
            // Few beginnings, so that many share one.
            let prefix: Vec<u32> = (0..draw(100)).map(|n| 50 + n % 7).collect();
            let prompt: Vec<u32> = prefix.into_iter().chain([2 + draw(5)]).collect();
            let max_tokens = 1 + draw(40) as usize;
            let id = world.add(request(prompt.clone(), max_tokens));
            wanted.insert(id, expected(&prompt, max_tokens, LIMITS.context));
        }
        if draw(10) == 0 && !world.running.is_empty() {
            let mut running: Vec<_> = world.running.iter().copied().collect();
            running.sort_unstable();
            let id = running[draw(running.len() as u32) as usize];
            world.cancel(id);
            cancelled.insert(id);
        }
        world.step();
    }
    let finished: HashMap<_, _> = world.drain().into_iter().collect();
    for (id, tokens) in &wanted {
        match finished.get(id) {
            Some(finished) => assert_eq!(finished, tokens, "{depth} under way"),
            None => assert!(cancelled.contains(id), "a sequence was forgotten"),
        }
    }
    let blocks = world.scheduler.pool().free();
    assert_eq!(blocks, LIMITS.blocks(), "a block was lost");
}

#[test]
fn random_arrivals_and_cancellations_change_no_answer() {
    for depth in [1, 2, 4, 7] {
        for seed in 0..60 {
            disturb(12_345 + seed, depth);
        }
    }
}

#[test]
fn answers_go_on_while_prompts_share_the_rest() {
    let limits = Limits {
        context: 1000,
        sequences: 5,
        step_tokens: 40,
        cache_tokens: 5000,
        ..LIMITS
    };
    let mut world = World::new(limits, 1);
    let long = |first: u32| request((0..800).map(|n| first + n % 7), 100);
    let answering = [40, 60].map(|first| world.add(request([first], 200)));
    world.step();
    let ids = [100, 200].map(|first| world.add(long(first)));
    world.step();
    let short = world.add(request(500..530, 9));
    let mut waited = None;
    for step in 0..30 {
        world.submit();
        let (plan, _) = &world.flight[0];
        let tokens = |id: SequenceId| {
            let part = plan.iter().find(|planned| planned.id == id);
            part.map_or(0, |planned| planned.span.tokens.len())
        };
        for id in answering {
            let is_over = !world.running.contains(&id);
            assert!(tokens(id) == 1 || is_over, "an answer waits for prompts");
        }
        assert!(
            ids.iter().all(|&id| tokens(id) >= 12),
            "a third of 38, or more"
        );
        if plan
            .iter()
            .any(|planned| planned.id == short && planned.complete)
        {
            waited = waited.or(Some(step));
        }
        world.step();
    }
    assert!(
        waited.is_some_and(|steps| steps <= 2),
        "30 tokens took {waited:?} steps"
    );
}

#[test]
fn steps_are_planned_before_their_tokens_are_known() {
    let mut scheduler = Scheduler::new(LIMITS);
    let id = scheduler.add(request(0..5, 40)).expect("it fits");
    let mut surely = Scheduler::new(LIMITS);
    surely.add(request(0..5, 40)).expect("it fits");
    let mut flight = VecDeque::from([scheduler.plan(), scheduler.plan(), scheduler.plan()]);
    for token in 126..156 {
        flight.push_back(scheduler.plan());
        let plan = flight.pop_front().expect("a plan");
        // The same as if the token had been waited for, but for the token.
        let mut sure = surely.plan();
        if let Some(output) = plan[0].follows {
            assert_eq!((output, &sure[0].span.tokens), (0, &vec![token - 1]));
            sure[0].span.tokens = vec![0];
            sure[0].follows = Some(0);
        }
        assert_eq!(plan, sure);
        for scheduler in [&mut scheduler, &mut surely] {
            scheduler.ran(&plan[0]);
            assert_eq!(scheduler.push(id, token), None);
        }
    }
    // A prompt that comes has its turn in the next plan, and one that goes is in none.
    let other = scheduler.add(request(50..60, 4)).expect("it fits");
    let ids = |plan: &[Planned]| plan.iter().map(|planned| planned.id).collect::<Vec<_>>();
    assert_eq!(ids(&scheduler.plan()), [id, other]);
    scheduler.remove(id);
    assert_eq!(ids(&scheduler.plan()), [other]);
}

#[test]
fn no_plan_goes_beyond_the_last_token() {
    let mut scheduler = Scheduler::new(LIMITS);
    scheduler.add(request(0..50, 2)).expect("it fits");
    let plans: Vec<_> = (0..4).map(|_| scheduler.plan()).collect();
    let part =
        |plan: &Vec<Planned>| plan[0].span.start..plan[0].span.start + plan[0].span.tokens.len();
    assert_eq!(
        plans[..3].iter().map(part).collect::<Vec<_>>(),
        [0..40, 40..50, 50..51]
    );
    let complete = |plan: &Vec<Planned>| plan[0].complete;
    assert_eq!(
        plans[..3].iter().map(complete).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert!(plans[3].is_empty(), "the second token is the last");
}

#[test]
fn blocks_are_taken_only_from_sequences_without_plans() {
    // Two sequences want four blocks each, and there are six.
    let limits = Limits {
        sequences: 2,
        step_tokens: 200,
        ..LIMITS
    };
    let mut scheduler = Scheduler::new(limits);
    let ids = [0, 1].map(|n| {
        let prompt = (0..96).map(|token| 2 + token + n);
        scheduler.add(request(prompt, 20)).expect("it fits")
    });
    let first = scheduler.plan();
    assert_eq!(first.len(), 2);
    assert!(scheduler.plan().is_empty(), "the younger one is under way");
    for planned in &first {
        scheduler.ran(planned);
        assert_eq!(scheduler.push(planned.id, 100), None);
    }
    let second = scheduler.plan();
    assert_eq!(
        second.iter().map(|planned| planned.id).collect::<Vec<_>>(),
        ids[..1]
    );
}

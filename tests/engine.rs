//! Scheduling, without a GPU and without a model.

use std::collections::HashSet;

use tiefsee::Error;
use tiefsee::engine::{
    BLOCK, BlockPool, FinishReason, Limits, Planned, Request, Sampling, Scheduler, SequenceId,
};
use tiefsee::gpu::cache;

const LIMITS: Limits = Limits {
    context: 4 * BLOCK,
    sequences: 3,
    step_tokens: 40,
    cache_tokens: 6 * BLOCK,
    cache_type: &cache::F32,
};

fn request(tokens: impl IntoIterator<Item = u32>, max_tokens: usize) -> Request {
    let tokens = tokens.into_iter().collect();
    Request {
        tokens,
        resumed: 0,
        max_tokens,
        stop_tokens: vec![1],
        sampling: Sampling::GREEDY,
        routes: false,
    }
}

/// A model whose next token depends on all tokens before it, so that a lost or repeated one shows.
fn next_token(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(17_u32, |hash, &token| {
        hash.wrapping_mul(31).wrapping_add(token)
    });
    2 + hash % 1000
}

/// What the cache would hold: the token last written to each slot.
struct FakeCache(Vec<Option<u32>>);

impl FakeCache {
    fn new(limits: Limits) -> Self {
        Self(vec![None; limits.blocks() * BLOCK])
    }

    fn slot(planned: &Planned, position: usize) -> usize {
        planned.span.blocks[position / BLOCK] as usize * BLOCK + position % BLOCK
    }

    /// Writes the span's tokens and reads the whole sequence back, as attention does.
    fn run(&mut self, planned: &Planned) -> Vec<u32> {
        let end = planned.span.start + planned.span.tokens.len();
        for (position, &token) in (planned.span.start..end).zip(&planned.span.tokens) {
            self.0[Self::slot(planned, position)] = Some(token);
        }
        let token = |position| {
            self.0[Self::slot(planned, position)].expect("every slot up to the last was written")
        };
        (0..end).map(token).collect()
    }
}

/// Runs until nothing is left; each finished sequence's tokens.
fn drain(
    scheduler: &mut Scheduler,
    cache: &mut FakeCache,
    limits: Limits,
) -> Vec<(SequenceId, Vec<u32>)> {
    let mut finished = Vec::new();
    for _ in 0..100_000 {
        let plan = scheduler.plan();
        if plan.is_empty() {
            return finished;
        }
        step(scheduler, cache, limits, &plan, &mut finished);
    }
    panic!("the scheduler never came to an end");
}

fn step(
    scheduler: &mut Scheduler,
    cache: &mut FakeCache,
    limits: Limits,
    plan: &[Planned],
    finished: &mut Vec<(SequenceId, Vec<u32>)>,
) {
    assert!(
        plan.iter()
            .map(|planned| planned.span.tokens.len())
            .sum::<usize>()
            <= limits.step_tokens
    );
    assert!(plan.len() <= limits.sequences);
    let mut owned = HashSet::new();
    for planned in plan {
        assert!(
            planned.span.blocks.iter().all(|&block| owned.insert(block)),
            "a block has two owners"
        );
    }
    for planned in plan {
        let seen = cache.run(planned);
        scheduler.ran(planned);
        if planned.complete {
            assert_eq!(
                seen,
                scheduler.tokens(planned.id),
                "the cache holds another sequence"
            );
            let mut tokens = seen;
            tokens.push(next_token(&tokens));
            if scheduler
                .push(planned.id, *tokens.last().expect("just pushed"))
                .is_some()
            {
                finished.push((planned.id, tokens));
            }
        }
    }
}

/// What a sequence must become.
fn expected(prompt: &[u32], max_tokens: usize, context: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    while tokens.len() < context.min(prompt.len() + max_tokens) {
        tokens.push(next_token(&tokens));
    }
    tokens
}

#[test]
fn prompts_run_in_chunks_and_continue() {
    let mut scheduler = Scheduler::new(LIMITS);
    let prompt: Vec<u32> = (10..110).collect();
    let id = scheduler
        .add(request(prompt.clone(), 5))
        .expect("it fits")
        .id;
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
    let id = scheduler.add(request([5], 2)).expect("it fits").id;
    for (token, reason) in [(7, None), (8, Some(FinishReason::Length))] {
        let plan = scheduler.plan();
        scheduler.ran(&plan[0]);
        assert_eq!(scheduler.push(id, token), reason);
    }
    let id = scheduler.add(request([9], 9)).expect("it fits").id;
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

#[test]
fn a_turn_reuses_what_it_shares_with_the_last() {
    let mut scheduler = Scheduler::new(LIMITS);
    let mut cache = FakeCache::new(LIMITS);
    let first: Vec<u32> = (10..60).collect();
    scheduler.add(request(first.clone(), 4)).expect("it fits");
    let answer = drain(&mut scheduler, &mut cache, LIMITS).remove(0).1;
    // The last token of the answer was chosen but never run.
    let turn: Vec<u32> = answer.iter().copied().chain(200..210).collect();
    let admission = scheduler.add(request(turn.clone(), 4)).expect("it fits");
    assert_eq!(admission.cached_tokens, answer.len() - 1);
    assert_eq!(
        drain(&mut scheduler, &mut cache, LIMITS)[0].1,
        expected(&turn, 4, LIMITS.context)
    );
    // The very same prompt still runs its last token: its scores are needed.
    assert_eq!(
        scheduler
            .add(request(turn.clone(), 4))
            .expect("it fits")
            .cached_tokens,
        turn.len() - 1
    );
    assert_eq!(
        drain(&mut scheduler, &mut cache, LIMITS)[0].1,
        expected(&turn, 4, LIMITS.context)
    );
    // One that shares only its beginning.
    let other: Vec<u32> = first[..33].iter().copied().chain([900, 901]).collect();
    assert_eq!(
        scheduler
            .add(request(other.clone(), 4))
            .expect("it fits")
            .cached_tokens,
        33
    );
    assert_eq!(
        drain(&mut scheduler, &mut cache, LIMITS)[0].1,
        expected(&other, 4, LIMITS.context)
    );
}

#[test]
fn random_arrivals_and_cancellations_change_no_answer() {
    let mut random = 12_345_u32;
    let mut draw = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    for _ in 0..60 {
        let mut scheduler = Scheduler::new(LIMITS);
        let mut cache = FakeCache::new(LIMITS);
        let mut wanted = Vec::new();
        let mut finished = Vec::new();
        let mut cancelled = HashSet::new();
        for _ in 0..60 {
            if draw(3) == 0 {
                // Few beginnings, so that many share one.
                let prefix: Vec<u32> = (0..draw(100)).map(|n| 50 + n % 7).collect();
                let prompt: Vec<u32> = prefix.into_iter().chain([2 + draw(5)]).collect();
                let max_tokens = 1 + draw(40) as usize;
                let id = scheduler
                    .add(request(prompt.clone(), max_tokens))
                    .expect("it fits")
                    .id;
                wanted.push((id, expected(&prompt, max_tokens, LIMITS.context)));
            }
            if draw(10) == 0 && !wanted.is_empty() {
                let id = wanted[draw(wanted.len() as u32) as usize].0;
                scheduler.remove(id);
                cancelled.insert(id);
            }
            let plan = scheduler.plan();
            step(&mut scheduler, &mut cache, LIMITS, &plan, &mut finished);
        }
        finished.extend(drain(&mut scheduler, &mut cache, LIMITS));
        for (id, tokens) in &finished {
            let (_, expected) = wanted
                .iter()
                .find(|(wanted, _)| wanted == id)
                .expect("it was added");
            assert_eq!(tokens, expected);
        }
        let finished: HashSet<_> = finished.iter().map(|(id, _)| *id).collect();
        for (id, _) in &wanted {
            assert!(
                finished.contains(id) || cancelled.contains(id),
                "a sequence was forgotten"
            );
        }
        assert_eq!(
            scheduler.available_blocks(),
            LIMITS.blocks(),
            "a block was lost"
        );
    }
}

#[test]
fn the_pool_gives_each_block_once() {
    let mut pool = BlockPool::new(3);
    let taken: HashSet<_> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!((taken.len(), pool.free()), (3, 0));
    pool.give(taken);
    assert_eq!(pool.free(), 3);
}

#[test]
fn the_next_step_is_known_ahead_only_if_nothing_can_come_between() {
    let mut scheduler = Scheduler::new(LIMITS);
    let id = scheduler.add(request(0..5, 40)).expect("it fits").id;
    let mut plan = scheduler.plan();
    for step in 0..30 {
        let ahead = scheduler.plan_ahead(&plan).expect("nothing is in the way");
        for planned in &plan {
            scheduler.ran(planned);
        }
        assert_eq!(scheduler.push(id, 100 + step), None);
        // The same as without looking ahead, but for the token, which was not known.
        let mut sure = scheduler.plan();
        assert_eq!(sure.len(), 1);
        assert_eq!(sure[0].span.tokens, [100 + step]);
        sure[0].span.tokens = vec![0];
        assert_eq!(ahead, sure);
        plan = ahead;
    }
    // A prompt that waits for a turn must not wait longer.
    let other = scheduler.add(request(50..60, 4)).expect("it fits").id;
    assert_eq!(scheduler.plan_ahead(&plan), None);
    scheduler.remove(other);
    assert!(scheduler.plan_ahead(&plan).is_some());
    // What was planned for a sequence that is gone is no step any more.
    scheduler.remove(id);
    assert_eq!(scheduler.plan_ahead(&plan), None);
}

#[test]
fn no_step_is_ahead_of_the_last_one_and_of_half_a_prompt() {
    let mut scheduler = Scheduler::new(LIMITS);
    scheduler.add(request(0..50, 2)).expect("it fits");
    let first = scheduler.plan();
    assert!(!first[0].complete);
    assert_eq!(scheduler.plan_ahead(&first), None);
    scheduler.ran(&first[0]);
    let rest = scheduler.plan();
    assert!(rest[0].complete);
    // The token after the next one would be the third.
    let ahead = scheduler.plan_ahead(&rest).expect("one more");
    assert_eq!(scheduler.plan_ahead(&ahead), None);
}

//! A scheduler with a device and a model that need no GPU.

use std::collections::{HashMap, HashSet, VecDeque};

use tiefsee::engine::{BLOCK, Limits, Planned, Request, Scheduler, SequenceId};
use tiefsee::gpu::cache;
use tiefsee::layers::Span;

pub(crate) const LIMITS: Limits = Limits {
    context: 4 * BLOCK,
    sequences: 3,
    step_tokens: 40,
    cache_tokens: 6 * BLOCK,
    cache_type: &cache::F32,
};

pub(crate) fn request(tokens: impl IntoIterator<Item = u32>, max_tokens: usize) -> Request {
    let tokens = tokens.into_iter().collect();
    Request {
        tokens,
        max_tokens,
        stop_tokens: (0..1000).filter(|&token| is_stop(token)).collect(),
        ..Request::default()
    }
}

/// Tokens that end an answer, about one in forty of those that the model says.
pub(crate) fn is_stop(token: u32) -> bool {
    token % 41 == 1
}

/// A model whose next token depends on all tokens before it, so that a lost or repeated one shows.
pub(crate) fn next_token(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(17_u32, |hash, &token| {
        hash.wrapping_mul(31).wrapping_add(token)
    });
    2 + hash % 1000
}

/// A scheduler and the device that runs its plans: what is in the cache is the token last written to each slot.
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) limits: Limits,
    /// Plans that may be under way.
    pub(crate) depth: usize,
    pub(crate) cache: Vec<Option<u32>>,
    /// Plans that the device has run and the host has not looked at, with the sequences that it saw.
    pub(crate) flight: VecDeque<(Vec<Planned>, Vec<Vec<u32>>)>,
    pub(crate) running: HashSet<SequenceId>,
    pub(crate) finished: Vec<(SequenceId, Vec<u32>)>,
    /// Tokens of the last finished sequence's prompt that were in the cache.
    pub(crate) cached_tokens: usize,
    /// Tokens of prompts that ran.
    pub(crate) prompt_tokens: usize,
}

impl World {
    pub(crate) fn new(limits: Limits, depth: usize) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            limits,
            depth,
            cache: vec![None; limits.blocks() * BLOCK],
            flight: VecDeque::new(),
            running: HashSet::new(),
            finished: Vec::new(),
            cached_tokens: 0,
            prompt_tokens: 0,
        }
    }

    pub(crate) fn add(&mut self, request: Request) -> SequenceId {
        let id = self.scheduler.add(request).expect("it fits");
        self.running.insert(id);
        id
    }

    pub(crate) fn cancel(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        self.running.remove(&id);
    }

    /// Writes the span's tokens and reads the whole sequence back, as attention does.
    pub(crate) fn run(&mut self, planned: &Planned) -> Vec<u32> {
        let Span { start, blocks, .. } = &planned.span;
        let slot = |position| blocks[position / BLOCK] as usize * BLOCK + position % BLOCK;
        let end = start + planned.span.tokens.len();
        let mut tokens = planned.span.tokens.clone();
        if let Some(output) = planned.follows {
            let (_, seen) = self.flight.back().expect("a plan before this one");
            tokens = vec![next_token(&seen[output])];
        }
        for (position, token) in (*start..end).zip(tokens) {
            self.cache[slot(position)] = Some(token);
        }
        let token = |position| self.cache[slot(position)].expect("every slot was written");
        (0..end).map(token).collect()
    }

    /// Sequences share blocks, but each slot is written by one of them.
    pub(crate) fn check_blocks(&self, plan: &[Planned]) {
        let mut users: HashMap<u32, usize> = HashMap::new();
        let mut written = HashSet::new();
        for planned in plan {
            let Span { start, blocks, .. } = &planned.span;
            for &block in blocks {
                *users.entry(block).or_default() += 1;
            }
            for &block in &blocks[start / BLOCK..] {
                assert!(written.insert(block), "two sequences write block {block}");
            }
        }
        for (block, users) in users {
            assert!(users <= self.scheduler.pool().users(block));
        }
    }

    /// Runs as many plans as may be under way; false if there is none.
    pub(crate) fn submit(&mut self) -> bool {
        while self.flight.len() < self.depth {
            let plan = self.scheduler.plan();
            if plan.is_empty() {
                break;
            }
            let tokens: usize = plan.iter().map(|planned| planned.span.tokens.len()).sum();
            assert!(tokens <= self.limits.step_tokens && plan.len() <= self.limits.sequences);
            self.check_blocks(&plan);
            let parts = plan.iter().map(|planned| planned.span.tokens.len());
            self.prompt_tokens += parts.filter(|&tokens| tokens > 1).sum::<usize>();
            let seen = plan.iter().map(|planned| self.run(planned)).collect();
            self.flight.push_back((plan, seen));
        }
        !self.flight.is_empty()
    }

    /// Looks at what the oldest plan gave; false if nothing is left to do.
    pub(crate) fn step(&mut self) -> bool {
        if !self.submit() {
            return false;
        }
        let (plan, seen) = self.flight.pop_front().expect("a plan");
        for (planned, mut tokens) in plan.iter().zip(seen) {
            let id = planned.id;
            if !self.running.contains(&id) {
                continue;
            }
            self.scheduler.ran(planned);
            if planned.complete {
                let known = self.scheduler.tokens(id);
                assert_eq!(tokens, known, "the cache holds another sequence");
                let token = next_token(&tokens);
                tokens.push(token);
                self.cached_tokens = self.scheduler.cached_tokens(id);
                if self.scheduler.push(id, token).is_some() {
                    self.running.remove(&id);
                    self.finished.push((id, tokens));
                }
            }
        }
        true
    }

    /// Runs until nothing is left; each finished sequence's tokens.
    pub(crate) fn drain(&mut self) -> Vec<(SequenceId, Vec<u32>)> {
        for _ in 0..100_000 {
            if !self.step() {
                return std::mem::take(&mut self.finished);
            }
        }
        panic!("the scheduler never came to an end");
    }
}

/// What a sequence must become.
pub(crate) fn expected(prompt: &[u32], max_tokens: usize, context: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    while tokens.len() < context.min(prompt.len() + max_tokens) {
        let token = next_token(&tokens);
        tokens.push(token);
        if is_stop(token) {
            break;
        }
    }
    tokens
}

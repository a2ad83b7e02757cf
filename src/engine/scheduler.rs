//! Which tokens run in the next step. Pure bookkeeping: no GPU, no model, no text.

use std::collections::VecDeque;

use super::{Admission, BLOCK, BlockPool, FinishReason, Request};
use crate::error::{Error, Result};
use crate::gpu::CacheType;
use crate::layers::Span;

/// Finished sequences whose cache is kept for a later prompt that starts alike.
const RETAINED: usize = 8;

/// Names a sequence; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(u64);

/// How much may go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that a sequence may have, prompt and answer.
    pub context: usize,
    /// Sequences that run together.
    pub sequences: usize,
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Tokens that the cache holds, at least `context`.
    pub cache_tokens: usize,
    /// How the cache stores them.
    pub cache_type: &'static CacheType,
}

impl Limits {
    /// Blocks that the cache has.
    pub fn blocks(&self) -> usize {
        self.cache_tokens.max(self.context).div_ceil(BLOCK)
    }
}

/// A part of a sequence that runs in the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Whose tokens they are.
    pub id: SequenceId,
    /// The tokens.
    pub span: Span,
    /// Whether they are all that is known, so that the scores of the last choose the next token.
    pub complete: bool,
}

#[derive(Debug)]
struct Sequence {
    id: SequenceId,
    /// Prompt and answer.
    tokens: Vec<u32>,
    /// Tokens that are in the cache.
    cached: usize,
    blocks: Vec<u32>,
    /// Tokens at which it ends.
    end: usize,
    stop_tokens: Vec<u32>,
}

/// The cache of a sequence that is over.
#[derive(Debug)]
struct Retained {
    tokens: Vec<u32>,
    blocks: Vec<u32>,
}

/// Waiting and running sequences.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    pool: BlockPool,
    waiting: VecDeque<Sequence>,
    /// Oldest first.
    running: Vec<Sequence>,
    /// Oldest first.
    retained: VecDeque<Retained>,
    next_id: u64,
}

impl Scheduler {
    /// A scheduler without sequences.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pool: BlockPool::new(limits.blocks()),
            waiting: VecDeque::new(),
            running: Vec::new(),
            retained: VecDeque::new(),
            next_id: 0,
        }
    }

    /// How much may go on at once.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Queues a request, on the cache of the finished sequence that starts most like it.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty prompt, [`Error::ContextExceeded`] for one that leaves no
    /// room for an answer.
    pub fn add(&mut self, request: Request) -> Result<Admission> {
        let (prompt, context) = (request.tokens.len(), self.limits.context);
        if prompt == 0 {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        if prompt >= context {
            return Err(Error::ContextExceeded { prompt, context });
        }
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        let (cached, blocks) = self.reuse(&request.tokens);
        self.waiting.push_back(Sequence {
            id,
            cached,
            blocks,
            end: prompt
                .saturating_add(request.max_tokens.max(1))
                .min(context),
            tokens: request.tokens,
            stop_tokens: request.stop_tokens,
        });
        Ok(Admission {
            id,
            cached_tokens: cached,
        })
    }

    /// Tokens of a sequence so far.
    #[track_caller]
    pub fn tokens(&self, id: SequenceId) -> &[u32] {
        let sequence = self.running.iter().find(|sequence| sequence.id == id);
        &sequence
            .expect("only running sequences have new tokens")
            .tokens
    }

    /// The tokens of the next step; running sequences first, then waiting ones while there is room.
    pub fn plan(&mut self) -> Vec<Planned> {
        let mut budget = self.limits.step_tokens;
        let mut plan = Vec::new();
        let mut index = 0;
        while budget > 0 {
            if index == self.running.len() && !self.admit() {
                break;
            }
            let sequence = &self.running[index];
            let count = (sequence.tokens.len() - sequence.cached).min(budget);
            let needed = (sequence.cached + count).div_ceil(BLOCK);
            if !self.grow(index, needed) {
                break;
            }
            let sequence = &self.running[index];
            let end = sequence.cached + count;
            plan.push(Planned {
                id: sequence.id,
                span: Span {
                    tokens: sequence.tokens[sequence.cached..end].to_vec(),
                    start: sequence.cached,
                    blocks: sequence.blocks.clone(),
                    outputs: 1,
                },
                complete: end == sequence.tokens.len(),
            });
            budget -= count;
            index += 1;
        }
        plan
    }

    /// The step after `plan`, before `plan`'s tokens are known, if it is sure to be the next unless the
    /// model says a stop token: every sequence goes on, has room, and none waits for a turn. The spans'
    /// tokens are placeholders.
    pub fn plan_ahead(&mut self, plan: &[Planned]) -> Option<Vec<Planned>> {
        let is_full = self.running.len() >= self.limits.sequences;
        let nobody_waits = self.waiting.is_empty() || is_full;
        if !nobody_waits || plan.len() != self.running.len() {
            return None;
        }
        let mut ahead = Vec::with_capacity(plan.len());
        for planned in plan {
            let found = |sequence: &&mut Sequence| sequence.id == planned.id;
            let sequence = self.running.iter_mut().find(found)?;
            let start = planned.span.start + planned.span.tokens.len();
            // The token that `plan` chooses is at `start`; it must not be the last.
            if !planned.complete || start + 1 >= sequence.end {
                return None;
            }
            if start / BLOCK == sequence.blocks.len() {
                sequence.blocks.push(self.pool.take()?);
            }
            ahead.push(Planned {
                id: planned.id,
                span: Span {
                    tokens: vec![0],
                    start,
                    blocks: sequence.blocks.clone(),
                    outputs: 1,
                },
                complete: true,
            });
        }
        Some(ahead)
    }

    /// Notes that `planned` is in the cache now.
    pub fn ran(&mut self, planned: &Planned) {
        if let Some(sequence) = self
            .running
            .iter_mut()
            .find(|sequence| sequence.id == planned.id)
        {
            sequence.cached = planned.span.start + planned.span.tokens.len();
        }
    }

    /// Appends the token that was chosen; the reason if it was the last.
    #[track_caller]
    pub fn push(&mut self, id: SequenceId, token: u32) -> Option<FinishReason> {
        let index = self.running.iter().position(|sequence| sequence.id == id);
        let sequence = &mut self.running[index.expect("only running sequences get tokens")];
        let reason = if sequence.stop_tokens.contains(&token) {
            Some(FinishReason::Stop)
        } else {
            sequence.tokens.push(token);
            (sequence.tokens.len() >= sequence.end).then_some(FinishReason::Length)
        };
        if reason.is_some() {
            self.remove(id);
        }
        reason
    }

    /// Forgets a sequence and keeps its cache for a prompt that starts like it.
    pub fn remove(&mut self, id: SequenceId) {
        let found = |sequence: &Sequence| sequence.id == id;
        let sequence = if let Some(index) = self.running.iter().position(found) {
            Some(self.running.remove(index))
        } else {
            let index = self.waiting.iter().position(found);
            index.and_then(|index| self.waiting.remove(index))
        };
        let Some(Sequence {
            mut tokens,
            cached,
            blocks,
            ..
        }) = sequence
        else {
            return;
        };
        tokens.truncate(cached);
        if tokens.is_empty() {
            self.pool.give(blocks);
            return;
        }
        self.retained.push_back(Retained { tokens, blocks });
        if self.retained.len() > RETAINED {
            self.drop_retained();
        }
    }

    /// Blocks that are free or would be if retained caches were dropped.
    pub fn available_blocks(&self) -> usize {
        self.pool.free()
            + self
                .retained
                .iter()
                .map(|retained| retained.blocks.len())
                .sum::<usize>()
    }

    /// Cached tokens and blocks for a prompt. The last token is always run again: its scores are needed.
    fn reuse(&mut self, prompt: &[u32]) -> (usize, Vec<u32>) {
        let common = |retained: &Retained| {
            let same = retained
                .tokens
                .iter()
                .zip(&prompt[..prompt.len() - 1])
                .take_while(|(a, b)| a == b);
            same.count()
        };
        let best = (0..self.retained.len()).max_by_key(|&index| common(&self.retained[index]));
        let Some(best) = best.filter(|&index| common(&self.retained[index]) > 0) else {
            return (0, Vec::new());
        };
        let cached = common(&self.retained[best]);
        let mut blocks = self
            .retained
            .remove(best)
            .expect("it was just found")
            .blocks;
        self.pool.give(blocks.split_off(cached.div_ceil(BLOCK)));
        (cached, blocks)
    }

    /// Moves the first waiting sequence to the running ones.
    fn admit(&mut self) -> bool {
        if self.running.len() >= self.limits.sequences {
            return false;
        }
        let Some(sequence) = self.waiting.pop_front() else {
            return false;
        };
        self.running.push(sequence);
        true
    }

    /// Gives a running sequence blocks until it has `needed`: free ones, then those of retained
    /// caches, then those of the youngest sequences behind it. False if it had to wait itself.
    fn grow(&mut self, index: usize, needed: usize) -> bool {
        while self.running[index].blocks.len() < needed {
            if let Some(block) = self.pool.take() {
                self.running[index].blocks.push(block);
            } else if !self.retained.is_empty() {
                self.drop_retained();
            } else {
                // Waiting sequences may own blocks as well: a cache they reuse.
                let hoarder = self
                    .waiting
                    .iter_mut()
                    .rev()
                    .find(|sequence| !sequence.blocks.is_empty());
                if let Some(sequence) = hoarder {
                    sequence.cached = 0;
                    self.pool.give(sequence.blocks.drain(..));
                    continue;
                }
                let mut youngest = self.running.pop().expect("the sequence itself runs");
                youngest.cached = 0;
                self.pool.give(youngest.blocks.drain(..));
                self.waiting.push_front(youngest);
                if index == self.running.len() {
                    return false;
                }
            }
        }
        true
    }

    fn drop_retained(&mut self) {
        if let Some(oldest) = self.retained.pop_front() {
            self.pool.give(oldest.blocks);
        }
    }
}

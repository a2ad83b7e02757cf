//! A sequence as the scheduler sees it.

use super::{BLOCK, BlockHash, BlockPool, Planned, Request, SequenceId};
use crate::layers::Span;

/// Prompt and answer, and what has become of them.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    /// Prompt and answer, as far as they are known.
    pub(super) tokens: Vec<u32>,
    /// What may come next, for the next plan to check.
    pub(super) guesses: Vec<u32>,
    /// Tokens that are in the cache once all plans have run, without what was guessed.
    planned: usize,
    /// Plans that have not run yet.
    pub(super) under_way: usize,
    /// Tokens that those choose.
    pub(super) chosen: usize,
    /// The last plan that chooses a token, and its output that does.
    chooser: (u64, usize),
    pub(super) blocks: Vec<u32>,
    /// What full blocks are known by, as far as it was asked for.
    hashes: Vec<BlockHash>,
    /// Blocks that are full and were made known.
    named: usize,
    /// Tokens that it began with, or begins with anew.
    prompt: usize,
    /// Tokens of the prompt that were in the cache.
    pub(super) found: usize,
    /// Whether it lost its blocks once.
    is_restarted: bool,
    /// Tokens before which all scores are wanted.
    scored: usize,
    /// Tokens at which it ends.
    pub(super) end: usize,
    pub(super) stop_tokens: Vec<u32>,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, request: Request, context: usize) -> Self {
        let start = request.start();
        Self {
            id,
            guesses: Vec::new(),
            planned: 0,
            under_way: 0,
            chosen: 0,
            chooser: (0, 0),
            blocks: Vec::new(),
            hashes: Vec::new(),
            named: 0,
            prompt: request.tokens.len(),
            found: 0,
            is_restarted: false,
            scored: if request.prompt_logprobs { start } else { 0 },
            end: start.saturating_add(request.max_tokens).min(context),
            tokens: request.tokens,
            stop_tokens: request.stop_tokens,
        }
    }

    /// Tokens once all plans have run, unless one of them is a stop token.
    fn length(&self) -> usize {
        self.tokens.len() + self.chosen
    }

    /// Tokens that plans may run now. The last of an answer is of no use to it.
    pub(super) fn ready(&self) -> usize {
        let last = self.prompt.max(self.end - 1);
        self.length().min(last) - self.planned
    }

    /// Whether it goes on with its answer, a token at a time.
    pub(super) fn is_answering(&self) -> bool {
        self.planned >= self.prompt
    }

    /// Whether every token of the next part wants scores, not only the last.
    pub(super) fn is_scored(&self) -> bool {
        self.planned + 1 < self.scored
    }

    /// Whether the next token comes from another plan than number `plan`, and is not known yet.
    pub(super) fn waits_for_more_than(&self, plan: u64) -> bool {
        self.chosen > 0 && self.chooser.0 != plan
    }

    /// Blocks of which it needs `count` tokens more.
    pub(super) fn blocks_with(&self, count: usize) -> usize {
        (self.planned + count).div_ceil(BLOCK)
    }

    /// Blocks that it takes to run all that is known, beside those that it has and that others use.
    pub(super) fn missing(&mut self, pool: &BlockPool) -> usize {
        let all = self.tokens.len().div_ceil(BLOCK);
        let found = if self.is_scored() {
            0
        } else {
            (self.tokens.len() - 1) / BLOCK
        };
        let shared = (self.blocks.len()..found)
            .take_while(|&block| pool.is_used(&self.hash(block)))
            .count();
        all.saturating_sub(self.blocks.len() + shared)
    }

    /// Takes note of what may come next, as far as the answer may be that long.
    pub(super) fn guess(&mut self, mut guesses: Vec<u32>) {
        guesses.truncate(self.end.saturating_sub(self.tokens.len() + 1));
        self.guesses = guesses;
    }

    /// A guess was right: it is in the cache, and the plan chose the token after it, too.
    pub(super) fn keep(&mut self) {
        self.planned += 1;
        self.chosen += 1;
    }

    /// The part of it that `count` tokens more and `guesses` are, in plan `number` with `outputs` before its own.
    pub(super) fn next(
        &mut self,
        count: usize,
        guesses: usize,
        number: u64,
        outputs: usize,
        pool: &mut BlockPool,
    ) -> Planned {
        let own = if self.is_scored() { count } else { 1 } + guesses;
        let start = self.planned;
        let end = start + count;
        let is_known = end <= self.tokens.len();
        let planned = Planned {
            id: self.id,
            span: Span {
                tokens: if is_known {
                    [&self.tokens[start..end], &self.guesses[..guesses]].concat()
                } else {
                    vec![0; count]
                },
                start,
                blocks: self.blocks.clone(),
                outputs: own,
            },
            guesses,
            complete: end == self.length(),
            follows: (!is_known).then_some(self.chooser.1),
        };
        self.planned = end;
        self.under_way += 1;
        if planned.complete {
            self.chosen += 1;
            self.chooser = (number, outputs + own - 1);
        }
        self.name(pool);
        planned
    }

    /// Takes over blocks of the next tokens that others have filled, or have planned to. The last token is
    /// always run again: its scores are needed.
    pub(super) fn find(&mut self, pool: &mut BlockPool) {
        while let Some(block) = self.sought().and_then(|hash| pool.share(&hash)) {
            let end = (self.named + 1) * BLOCK;
            // What it has begun to fill itself is of no use then.
            let begun = self.blocks.split_off(self.named);
            self.blocks.push(block);
            pool.give(begun);
            self.found += if self.is_restarted {
                0
            } else {
                end - self.planned
            };
            self.planned = end;
            self.named += 1;
        }
    }

    /// The next block, if another's would do as well.
    pub(super) fn sought(&mut self) -> Option<BlockHash> {
        let is_wanted = self.chosen == 0 && !self.is_scored();
        let is_before_last = (self.named + 1) * BLOCK < self.tokens.len();
        (is_wanted && is_before_last).then(|| self.hash(self.named))
    }

    /// The next block, if what is known fills it.
    pub(super) fn filling(&mut self) -> Option<BlockHash> {
        let is_known = (self.named + 1) * BLOCK <= self.tokens.len();
        is_known.then(|| self.hash(self.named))
    }

    /// Makes blocks known that plans have filled with known tokens. Plans run in order, so that whoever finds
    /// a block reads it later.
    pub(super) fn name(&mut self, pool: &mut BlockPool) {
        while (self.named + 1) * BLOCK <= self.planned.min(self.tokens.len()) {
            let hash = self.hash(self.named);
            pool.name(self.blocks[self.named], hash);
            self.named += 1;
        }
    }

    /// Takes its blocks; it starts anew.
    pub(super) fn reset(&mut self) -> Vec<u32> {
        (self.planned, self.named) = (0, 0);
        self.prompt = self.tokens.len();
        self.is_restarted = true;
        self.guesses.clear();
        std::mem::take(&mut self.blocks)
    }

    fn hash(&mut self, block: usize) -> BlockHash {
        while self.hashes.len() <= block {
            let start = self.hashes.len() * BLOCK;
            let tokens = &self.tokens[start..start + BLOCK];
            let before = self.hashes.last().copied();
            self.hashes.push(BlockHash::after(before, tokens));
        }
        self.hashes[block]
    }
}

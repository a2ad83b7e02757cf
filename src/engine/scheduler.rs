//! Which tokens run in the next step. Pure bookkeeping: no GPU, no model, no text.

use std::borrow::Borrow;
use std::collections::{HashSet, VecDeque};

use super::sequence::Sequence;
use super::{BLOCK, BlockHash, BlockPool, FinishReason, Request};
use crate::error::{Error, Result};
use crate::gpu::CacheType;
use crate::layers::Span;

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

impl Planned {
    /// The position after its last token.
    pub fn end(&self) -> usize {
        self.span.start + self.span.tokens.len()
    }

    /// Whether it is a token of an answer, with what is guessed behind it, and not a part of a prompt.
    pub fn is_answer(&self) -> bool {
        self.complete && self.span.tokens.len() == 1 + self.guesses
    }
}

/// How busy a scheduler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait for their turn.
    pub waiting: usize,
    /// Blocks of the cache.
    pub blocks: usize,
    /// Those of them that no sequence uses; they may hold what later prompts begin with.
    pub free_blocks: usize,
    /// How often a sequence has lost its blocks to an older one so far.
    pub preemptions: u64,
}

impl Borrow<Span> for Planned {
    fn borrow(&self) -> &Span {
        &self.span
    }
}

/// A part of a sequence that runs in the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Whose tokens they are.
    pub id: SequenceId,
    /// The tokens.
    pub span: Span,
    /// How many of the last ones are guesses, each with an output of its own that tells what comes after it.
    pub guesses: usize,
    /// Whether they are all that there are, so that the scores of the last choose the next token.
    pub complete: bool,
    /// The output of the plan before this one that is their only token, if it is not known yet: what
    /// stands in the span is a placeholder then.
    pub follows: Option<usize>,
}

/// Waiting and running sequences.
///
/// Plans run in the order they are made, and several may be on their way: what they choose is not known
/// then, but how long the sequences become is, and where their tokens go. A sequence that ends meanwhile
/// leaves plans behind that are of no use. They do no harm: whoever owns its blocks next writes to them later.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    pool: BlockPool,
    /// Those that lost their blocks first, then in the order they came.
    waiting: VecDeque<Sequence>,
    /// Oldest first.
    running: Vec<Sequence>,
    next_id: u64,
    /// Plans made so far.
    plans: u64,
    /// Tokens of a plan that may want scores.
    most_outputs: usize,
    preemptions: u64,
}

impl Scheduler {
    /// A scheduler without sequences.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pool: BlockPool::new(limits.blocks()),
            waiting: VecDeque::new(),
            running: Vec::new(),
            next_id: 0,
            plans: 0,
            most_outputs: usize::MAX,
            preemptions: 0,
        }
    }

    /// Lets at most `most` tokens of a plan want scores, or as many as there may be sequences.
    pub fn limit_outputs(&mut self, most: usize) {
        self.most_outputs = most.max(self.limits.sequences);
    }

    /// How much may go on at once.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How busy it is.
    pub fn load(&self) -> Load {
        Load {
            running: self.running.len(),
            waiting: self.waiting.len(),
            blocks: self.limits.blocks(),
            free_blocks: self.pool.free(),
            preemptions: self.preemptions,
        }
    }

    /// The cache's blocks.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty prompt, [`Error::ContextExceeded`] for one that leaves no
    /// room for an answer.
    pub fn add(&mut self, request: Request) -> Result<SequenceId> {
        let (prompt, context) = (request.tokens.len(), self.limits.context);
        if prompt == 0 {
            return Err(Error::Usage("the prompt is empty".into()));
        }
        if prompt + request.max_tokens.min(1) > context {
            return Err(Error::ContextExceeded { prompt, context });
        }
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back(Sequence::new(id, request, context));
        Ok(id)
    }

    /// Tokens of a running sequence so far.
    #[track_caller]
    pub fn tokens(&self, id: SequenceId) -> &[u32] {
        &self.of(id).tokens
    }

    /// Tokens of a running sequence's prompt that did not run: earlier sequences left them in the cache.
    #[track_caller]
    pub fn cached_tokens(&self, id: SequenceId) -> usize {
        self.of(id).found
    }

    /// All tokens of a sequence that goes on with its answer, if no plan chooses further ones already.
    pub fn answer(&self, id: SequenceId) -> Option<&[u32]> {
        let sequence = &self.running[self.position(id)?];
        let is_known = sequence.is_answering() && sequence.chosen == 0;
        is_known.then_some(&sequence.tokens)
    }

    /// Lets the next plan check what may come behind a running sequence's tokens.
    #[track_caller]
    pub fn guess(&mut self, id: SequenceId, guesses: Vec<u32>) {
        let index = self.position(id).expect("the sequence is running");
        self.running[index].guess(guesses);
    }

    /// Keeps the first of the guesses that ran and were not kept yet: the token before it was right.
    #[track_caller]
    pub fn keep(&mut self, id: SequenceId) {
        let index = self.position(id).expect("the sequence is running");
        self.running[index].keep();
    }

    /// Whether a running sequence wants no further token.
    #[track_caller]
    pub fn is_full(&self, id: SequenceId) -> bool {
        let sequence = self.of(id);
        sequence.tokens.len() >= sequence.end
    }

    /// The tokens of the next step: of every running sequence, and of waiting ones while there is room.
    ///
    /// None if nothing is left to do, or nothing before earlier plans have run.
    pub fn plan(&mut self) -> Vec<Planned> {
        let mut plan = Vec::new();
        // What is not known comes from the plan before this one.
        let is_late = |sequence: &Sequence| sequence.waits_for_more_than(self.plans);
        if self.running.iter().any(is_late) {
            return plan;
        }
        self.admit();
        for sequence in &mut self.running {
            sequence.find(&mut self.pool);
        }
        let mut outputs = 0;
        let shares = self.shares();
        // Guesses have what nobody else wants.
        let left = self.limits.step_tokens - shares.iter().sum::<usize>();
        let mut spare = left.min(self.most_outputs.saturating_sub(self.running.len()));
        for (index, share) in shares.into_iter().enumerate() {
            // The youngest may have lost their blocks to those before.
            let Some(sequence) = self.running.get(index) else {
                break;
            };
            let mut count = share;
            if sequence.is_scored() {
                count = count.min(self.most_outputs.saturating_sub(outputs));
            }
            if count == 0 {
                continue;
            }
            let guesses = sequence.guesses.len().min(spare);
            let needed = sequence.blocks_with(count + guesses);
            if !self.grow(index, needed) {
                break;
            }
            let sequence = &mut self.running[index];
            let planned = sequence.next(count, guesses, self.plans + 1, outputs, &mut self.pool);
            outputs += planned.span.outputs;
            spare -= guesses;
            plan.push(planned);
        }
        // Whoever had no turn is guessed anew.
        for sequence in &mut self.running {
            sequence.guesses.clear();
        }
        self.plans += u64::from(!plan.is_empty());
        plan
    }

    /// Notes that `planned` is in the cache now.
    pub fn ran(&mut self, planned: &Planned) {
        if let Some(index) = self.position(planned.id) {
            self.running[index].under_way -= 1;
        }
    }

    /// Appends the token that was chosen; the reason if it was the last.
    #[track_caller]
    pub fn push(&mut self, id: SequenceId, token: u32) -> Option<FinishReason> {
        let index = self
            .position(id)
            .expect("only running sequences get tokens");
        let sequence = &mut self.running[index];
        sequence.chosen -= 1;
        let reason = if sequence.stop_tokens.contains(&token) {
            Some(FinishReason::Stop)
        } else {
            sequence.tokens.push(token);
            sequence.name(&mut self.pool);
            (sequence.tokens.len() >= sequence.end).then_some(FinishReason::Length)
        };
        if reason.is_some() {
            self.remove(id);
        }
        reason
    }

    /// Forgets a sequence. What it has in the cache stays there until the room is needed.
    pub fn remove(&mut self, id: SequenceId) {
        if let Some(index) = self.position(id) {
            self.pool.give(self.running.remove(index).blocks);
        } else {
            // Waiting sequences have no blocks.
            self.waiting.retain(|sequence| sequence.id != id);
        }
    }

    /// The blocks that hold the beginning of `tokens`, in use until they are released.
    pub fn hold(&mut self, tokens: &[u32]) -> Vec<u32> {
        BlockHash::chain(tokens)
            .map_while(|hash| self.pool.share(&hash))
            .collect()
    }

    /// Blocks for the beginning of `tokens`, as many as there is room for, in use until they are released; and
    /// whether each is to be filled by the caller, before anything else runs.
    pub fn fill(&mut self, tokens: &[u32]) -> Vec<(u32, bool)> {
        let mut filled = Vec::new();
        for hash in BlockHash::chain(tokens) {
            if let Some(block) = self.pool.share(&hash) {
                filled.push((block, false));
            } else if let Some(block) = self.pool.take() {
                self.pool.name(block, hash);
                filled.push((block, true));
            } else {
                break;
            }
        }
        filled
    }

    /// Lets go of blocks that were held or filled; they stay for prompts that begin alike.
    pub fn release(&mut self, blocks: Vec<u32>) {
        self.pool.give(blocks);
    }

    fn position(&self, id: SequenceId) -> Option<usize> {
        self.running.iter().position(|sequence| sequence.id == id)
    }

    #[track_caller]
    fn of(&self, id: SequenceId) -> &Sequence {
        let index = self.position(id).expect("the sequence is running");
        &self.running[index]
    }

    /// Moves waiting sequences to the running ones, in their order, while there are blocks for what is known
    /// of all of them.
    fn admit(&mut self) {
        let pool = &self.pool;
        let missing = |sequence: &mut Sequence| sequence.missing(pool);
        let mut missing_blocks: usize = self.running.iter_mut().map(missing).sum();
        while self.running.len() < self.limits.sequences {
            let Some(first) = self.waiting.front_mut() else {
                break;
            };
            missing_blocks += first.missing(&self.pool);
            if !self.running.is_empty() && missing_blocks > self.pool.free() {
                break;
            }
            self.running.extend(self.waiting.pop_front());
        }
    }

    /// How many tokens each running sequence may have in the next plan: answers go on first, and prompts
    /// share what is left, equally but for those that need less. Those that could take over a block that
    /// another is filling wait for it.
    fn shares(&mut self) -> Vec<usize> {
        let mut shares = vec![0; self.running.len()];
        let mut left = self.limits.step_tokens;
        let mut prompts = Vec::new();
        let mut filled = HashSet::new();
        for (index, sequence) in self.running.iter_mut().enumerate() {
            if sequence.is_answering() {
                shares[index] = sequence.ready().min(left);
                left -= shares[index];
            } else if sequence.sought().is_none_or(|hash| !filled.contains(&hash)) {
                filled.extend(sequence.filling());
                prompts.push(index);
            }
        }
        prompts.sort_unstable_by_key(|&index| (self.running[index].ready(), index));
        for (nth, &index) in prompts.iter().enumerate() {
            let equal = left.div_ceil(prompts.len() - nth);
            shares[index] = self.running[index].ready().min(equal);
            left -= shares[index];
        }
        shares
    }

    /// Gives a running sequence blocks until it has `needed`: free ones, then those of the youngest sequences
    /// behind it. False if it has to wait itself, or for plans of those.
    fn grow(&mut self, index: usize, needed: usize) -> bool {
        while self.running[index].blocks.len() < needed {
            if let Some(block) = self.pool.take() {
                self.running[index].blocks.push(block);
                continue;
            }
            let youngest = self.running.pop_if(|sequence| sequence.under_way == 0);
            let Some(mut youngest) = youngest else {
                return false;
            };
            self.pool.give(youngest.reset());
            self.preemptions += 1;
            self.waiting.push_front(youngest);
            if index == self.running.len() {
                return false;
            }
        }
        true
    }
}

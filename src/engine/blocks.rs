//! Blocks of cache slots: who uses them, and what those hold that nobody uses.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

/// Slots of a block.
pub const BLOCK: usize = 32;

/// What a full block is known by: its tokens and all before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockHash([u8; 32]);

impl BlockHash {
    /// That of the block of `tokens` after the one of hash `before`, if there is one.
    ///
    /// Nobody finds two beginnings of one hash, so nobody reads what another's words left in the cache.
    pub fn after(before: Option<Self>, tokens: &[u32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(before.map_or([0; 32], |before| before.0));
        for token in tokens {
            hasher.update(token.to_le_bytes());
        }
        Self(hasher.finalize().into())
    }

    /// Its bytes, the same on every machine.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// Those of all full blocks of a sequence.
    pub fn chain(tokens: &[u32]) -> impl Iterator<Item = Self> + '_ {
        let blocks = tokens.chunks_exact(BLOCK);
        blocks.scan(None, |before, tokens| {
            *before = Some(Self::after(*before, tokens));
            *before
        })
    }
}

#[derive(Clone, Debug, Default)]
struct Block {
    /// Sequences that use it.
    users: usize,
    /// What it holds, if it is full and the first of its kind.
    hash: Option<BlockHash>,
    /// When its last user left.
    left: u64,
}

/// All blocks of a cache.
///
/// A block that nobody uses keeps what it holds until it is needed for something else: the one that was used
/// least recently first.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    /// Nobody's, and nothing in them.
    empty: Vec<u32>,
    /// Nobody's, by when they were left.
    left: BTreeMap<u64, u32>,
    known: HashMap<BlockHash, u32>,
    clock: u64,
}

impl BlockPool {
    /// A pool of `count` empty blocks.
    pub fn new(count: usize) -> Self {
        Self {
            blocks: vec![Block::default(); count],
            empty: (0..count as u32).rev().collect(),
            left: BTreeMap::new(),
            known: HashMap::new(),
            clock: 0,
        }
    }

    /// A block for new tokens, if one is free.
    pub fn take(&mut self) -> Option<u32> {
        let block = self.empty.pop().or_else(|| {
            let (_, block) = self.left.pop_first()?;
            let hash = self.blocks[block as usize].hash.take();
            self.known
                .remove(&hash.expect("only what is known is kept"));
            Some(block)
        })?;
        self.blocks[block as usize].users = 1;
        Some(block)
    }

    /// The block that is known by `hash`, for one more user.
    pub fn share(&mut self, hash: &BlockHash) -> Option<u32> {
        let number = *self.known.get(hash)?;
        let block = &mut self.blocks[number as usize];
        if block.users == 0 {
            self.left.remove(&block.left);
        }
        block.users += 1;
        Some(number)
    }

    /// Whether the block that is known by `hash` is in use.
    pub fn is_used(&self, hash: &BlockHash) -> bool {
        self.known
            .get(hash)
            .is_some_and(|&block| self.users(block) > 0)
    }

    /// Makes a full block known, unless another one that holds the same is.
    #[track_caller]
    pub fn name(&mut self, block: u32, hash: BlockHash) {
        let Block {
            users, hash: old, ..
        } = &mut self.blocks[block as usize];
        assert!(
            *users > 0 && old.is_none(),
            "block {block} is not being filled"
        );
        if let Entry::Vacant(known) = self.known.entry(hash) {
            known.insert(block);
            *old = Some(hash);
        }
    }

    /// Takes a sequence's blocks back, in their order.
    #[track_caller]
    pub fn give(&mut self, blocks: Vec<u32>) {
        // The end of a sequence is worth less than its beginning, which others may share.
        for number in blocks.into_iter().rev() {
            let block = &mut self.blocks[number as usize];
            assert!(block.users > 0, "block {number} is free already");
            block.users -= 1;
            if block.users > 0 {
                continue;
            }
            if block.hash.is_some() {
                self.clock += 1;
                block.left = self.clock;
                self.left.insert(self.clock, number);
            } else {
                self.empty.push(number);
            }
        }
    }

    /// Blocks that nobody uses.
    pub fn free(&self) -> usize {
        self.empty.len() + self.left.len()
    }

    /// How many sequences use a block.
    pub fn users(&self, block: u32) -> usize {
        self.blocks[block as usize].users
    }
}

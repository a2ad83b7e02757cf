//! Blocks of cache slots, each owned by one sequence at a time.

/// Slots of a block.
pub const BLOCK: usize = 32;

/// The blocks that no sequence owns.
#[derive(Debug)]
pub struct BlockPool {
    free: Vec<u32>,
}

impl BlockPool {
    /// A pool of `count` free blocks.
    pub fn new(count: usize) -> Self {
        Self {
            free: (0..count as u32).rev().collect(),
        }
    }

    /// A block, if one is free.
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Takes blocks back.
    #[track_caller]
    pub fn give(&mut self, blocks: impl IntoIterator<Item = u32>) {
        for block in blocks {
            debug_assert!(!self.free.contains(&block), "block {block} is free already");
            self.free.push(block);
        }
    }

    /// How many blocks are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

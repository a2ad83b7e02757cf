// Where a sequence's keys lie in the cache.
//
// Needs `blocks`, the blocks of each sequence in order of position,
// params.blocks_per_sequence of them, and BLOCK, the slots of a block.

// The slots of four keys.
fn slots_of(sequence: u32, keys: vec4u) -> vec4u {
    let at = sequence * params.blocks_per_sequence + keys / BLOCK;
    let key_blocks = vec4u(blocks[at.x], blocks[at.y], blocks[at.z], blocks[at.w]);
    return key_blocks * BLOCK + keys % BLOCK;
}

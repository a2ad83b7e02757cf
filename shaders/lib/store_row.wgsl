// Rows on their way into the cache, in whatever type it has.
//
// Needs `cache` for writing.

// Puts columns 32 * block .. 32 * block + 31 into row `slot` of 8 * chunks columns; those
// beyond its end are zeros.
fn store_row_block(slot: u32, chunks: u32, block: u32, values: array<mat2x4f, 4>) {
    var packed = cache_packed(values);
    let row_words = cache_words(chunks);
    let start = block * CACHE_BLOCK_WORDS;
    for (var i = 0u; i < CACHE_BLOCK_WORDS && start + i < row_words; i++) {
        cache[slot * row_words + start + i] = packed[i];
    }
}

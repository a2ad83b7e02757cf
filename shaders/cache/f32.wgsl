// Cache type f32: eight columns to a word of a row.

alias CacheWord = Wide;
// What 32 columns take.
alias CacheBlock = array<CacheWord, 4>;

const CACHE_BLOCK_WORDS: u32 = 4;

// Words of a row of `chunks` times eight columns.
fn cache_words(chunks: u32) -> u32 {
    return chunks;
}

// Columns 8 * chunk .. 8 * chunk + 7 of the row that starts at word `row`.
fn cache8(row: u32, chunk: u32) -> mat2x4f {
    return wide(cache[row + chunk]);
}

// The words of 32 columns.
fn cache_packed(values: array<mat2x4f, 4>) -> CacheBlock {
    return CacheBlock(
        wide_stored(values[0]),
        wide_stored(values[1]),
        wide_stored(values[2]),
        wide_stored(values[3]),
    );
}

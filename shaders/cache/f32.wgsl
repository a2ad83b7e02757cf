// Cache type f32: four columns to a word of a row.

alias CacheWord = vec4f;
// What 32 columns take.
alias CacheBlock = array<CacheWord, 8>;

const CACHE_BLOCK_WORDS: u32 = 8;

// Words of a row of `columns4` times four columns.
fn cache_words(columns4: u32) -> u32 {
    return columns4;
}

// Columns 4 * column4 .. 4 * column4 + 3 of the row that starts at word `row`.
fn cache4(row: u32, column4: u32) -> vec4f {
    return cache[row + column4];
}

// The words of 32 columns.
fn cache_packed(values: array<vec4f, 8>) -> CacheBlock {
    return CacheBlock(
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
    );
}

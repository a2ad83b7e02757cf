// Cache type q8_0: blocks of 32 columns, an f32 scale and then their signed bytes, four to a word.

alias CacheWord = u32;
// What 32 columns take.
alias CacheBlock = array<CacheWord, 9>;

const CACHE_BLOCK_WORDS: u32 = 9;

// Words of a row of `columns4` times four columns.
fn cache_words(columns4: u32) -> u32 {
    return (columns4 + 7) / 8 * CACHE_BLOCK_WORDS;
}

// Columns 4 * column4 .. 4 * column4 + 3 of the row that starts at word `row`.
fn cache4(row: u32, column4: u32) -> vec4f {
    let block = row + column4 / 8 * CACHE_BLOCK_WORDS;
    let bytes = vec4u(cache[block + 1 + column4 % 8]) << vec4u(24, 16, 8, 0);
    return bitcast<f32>(cache[block]) * vec4f(bitcast<vec4i>(bytes) >> vec4u(24));
}

// The nearest steps of each value, as bytes of a word.
fn cache_bytes(values: vec4f, inverse: f32) -> u32 {
    let steps = clamp(round(values * inverse), vec4f(-127), vec4f(127));
    let bytes = (bitcast<vec4u>(vec4i(steps)) & vec4u(0xff)) << vec4u(0, 8, 16, 24);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}

// The words of 32 columns. As whole numbers the largest magnitude is found even among
// what is no number, which makes the scale none.
fn cache_packed(values: array<vec4f, 8>) -> CacheBlock {
    var all = values;
    var most = vec4u();
    for (var i = 0u; i < 8; i++) {
        most = max(most, bitcast<vec4u>(all[i]) & vec4u(0x7fffffff));
    }
    let largest = bitcast<f32>(max(max(most.x, most.y), max(most.z, most.w)));
    let inverse = select(0.0, 127 / largest, largest > 1e-30);
    var words: CacheBlock;
    words[0] = bitcast<u32>(largest * (1.0 / 127.0));
    for (var i = 0u; i < 8; i++) {
        words[i + 1] = cache_bytes(all[i], inverse);
    }
    return words;
}

// Cache type q8_0: blocks of 32 columns, an f32 scale and then their signed bytes, four to a word.

alias CacheWord = u32;
// What 32 columns take.
alias CacheBlock = array<CacheWord, 9>;

const CACHE_BLOCK_WORDS: u32 = 9;

// Words of a row of `chunks` times eight columns.
fn cache_words(chunks: u32) -> u32 {
    return (chunks + 3) / 4 * CACHE_BLOCK_WORDS;
}

// The four signed bytes of a word.
fn cache_steps(word: u32) -> vec4f {
    return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24, 16, 8, 0)) >> vec4u(24));
}

// Columns 8 * chunk .. 8 * chunk + 7 of the row that starts at word `row`.
fn cache8(row: u32, chunk: u32) -> mat2x4f {
    let block = row + chunk / 4 * CACHE_BLOCK_WORDS;
    let at = block + 1 + 2 * (chunk % 4);
    return bitcast<f32>(cache[block]) * mat2x4f(cache_steps(cache[at]), cache_steps(cache[at + 1]));
}

// The nearest steps of each value, as bytes of a word.
fn cache_bytes(values: vec4f, inverse: f32) -> u32 {
    let steps = clamp(round(values * inverse), vec4f(-127), vec4f(127));
    let bytes = (bitcast<vec4u>(vec4i(steps)) & vec4u(0xff)) << vec4u(0, 8, 16, 24);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}

// The words of 32 columns. As whole numbers the largest magnitude is found even among
// what is no number, which makes the scale none.
fn cache_packed(values: array<mat2x4f, 4>) -> CacheBlock {
    var all = values;
    var most = vec4u();
    for (var i = 0u; i < 4; i++) {
        most = max(most, bitcast<vec4u>(all[i][0]) & vec4u(0x7fffffff));
        most = max(most, bitcast<vec4u>(all[i][1]) & vec4u(0x7fffffff));
    }
    let largest = bitcast<f32>(max(max(most.x, most.y), max(most.z, most.w)));
    let inverse = select(0.0, 127 / largest, largest > 1e-30);
    var words: CacheBlock;
    words[0] = bitcast<u32>(largest * (1.0 / 127.0));
    for (var i = 0u; i < 4; i++) {
        words[2 * i + 1] = cache_bytes(all[i][0], inverse);
        words[2 * i + 2] = cache_bytes(all[i][1], inverse);
    }
    return words;
}

// Cache type f16: eight columns to a word of a row.

alias CacheWord = vec4u;
// What 32 columns take.
alias CacheBlock = array<CacheWord, 4>;

const CACHE_BLOCK_WORDS: u32 = 4;

// Words of a row of `chunks` times eight columns.
fn cache_words(chunks: u32) -> u32 {
    return chunks;
}

// Columns 8 * chunk .. 8 * chunk + 7 of the row that starts at word `row`.
fn cache8(row: u32, chunk: u32) -> mat2x4f {
    let word = cache[row + chunk];
    return mat2x4f(
        vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
        vec4f(unpack2x16float(word.z), unpack2x16float(word.w)),
    );
}

// The nearest f16 of each value, even on a tie, in integer arithmetic: devices round in
// ways of their own. What is too large becomes the largest; what is no number stays none.
fn cache_halves(values: vec4f) -> vec2u {
    let bits = bitcast<vec4u>(values);
    let magnitude = bits & vec4u(0x7fffffff);
    let clamped = min(magnitude, vec4u(0x477fe000));
    let normal = ((clamped + 0xfff + ((clamped >> vec4u(13)) & vec4u(1))) >> vec4u(13)) - 0x1c000;
    let subnormal = vec4u(round(min(abs(values), vec4f(1)) * 0x1p24));
    let finite = select(normal, subnormal, magnitude < vec4u(0x38800000));
    let half = select(finite, vec4u(0x7e00), magnitude >= vec4u(0x7f800000));
    let signed = half | ((bits >> vec4u(16)) & vec4u(0x8000));
    return vec2u(signed.x | (signed.y << 16), signed.z | (signed.w << 16));
}

// A word of eight columns.
fn cache_eight(values: mat2x4f) -> CacheWord {
    return CacheWord(cache_halves(values[0]), cache_halves(values[1]));
}

// The words of 32 columns.
fn cache_packed(values: array<mat2x4f, 4>) -> CacheBlock {
    return CacheBlock(
        cache_eight(values[0]),
        cache_eight(values[1]),
        cache_eight(values[2]),
        cache_eight(values[3]),
    );
}

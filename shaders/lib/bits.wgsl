// Numbers of a few bits, one behind the other in words, the first lowest.

// The four lowest numbers of 4 bits.
fn bits_4(word: u32) -> vec4u {
    return (vec4u(word) >> vec4u(0, 4, 8, 12)) & vec4u(15);
}

// The four lowest numbers of 2 bits.
fn bits_2(word: u32) -> vec4u {
    return (vec4u(word) >> vec4u(0, 2, 4, 6)) & vec4u(3);
}

// The four lowest bits.
fn bits_1(word: u32) -> vec4u {
    return (vec4u(word) >> vec4u(0, 1, 2, 3)) & vec4u(1);
}

// Byte `index` of a word, with its sign.
fn bits_signed(word: u32, index: u32) -> f32 {
    return f32(bitcast<i32>(word << (24 - 8 * index)) >> 24);
}

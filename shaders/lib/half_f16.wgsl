// Two f16 of a word as f32, by the device's own f16.
//
// Needs `enable f16`.

// The low half of `word`, then its high half.
fn half2(word: u32) -> vec2f {
    return vec2f(bitcast<vec2<f16>>(word));
}

// Two f16 of a word as f32, by the device's own conversion: for devices with f16,
// which convert in one instruction. Whether one keeps subnormals is up to it.
//
// Not `bitcast<vec2<f16>>`, which naga takes for a cast to one f16 without complaint.

// The low half of `word`, then its high half.
fn half2(word: u32) -> vec2f {
    return unpack2x16float(word);
}

// f16 values in memory, by the device's own f16.
//
// Needs `enable f16`. Values are typed as they are stored: naga 30 translates a
// bitcast of a word to vec2<f16> wrongly (gfx-rs/wgpu issue 4403).

alias Half2 = vec2<f16>;
alias Half8 = mat2x4<f16>;

// Two neighbouring values.
fn half2(stored: Half2) -> vec2f {
    return vec2f(stored);
}

// Eight neighbouring values.
fn half8(stored: Half8) -> mat2x4f {
    return mat2x4f(vec4f(stored[0]), vec4f(stored[1]));
}

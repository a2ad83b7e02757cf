// Random numbers that depend on a counter and on nothing else.

// Four random words (pcg4d: Jarzynski and Olano 2020, https://jcgt.org/published/0009/03/02/).
fn random_words(counter: vec4u) -> vec4u {
    var v = counter * 1664525 + 1013904223;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4u(16);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

// A number of the exponential distribution for a random word: -ln(1 - u), exact where u is small, too.
fn random_exponential(word: u32) -> f32 {
    let u = min((f32(word) + 0.5) * 0x1p-32, 0x1.fffffep-1);
    let series = u * (1 + u * (1.0 / 2 + u * (1.0 / 3 + u * (1.0 / 4 + u * (1.0 / 5 + u * (1.0 / 6))))));
    return select(-log(1 - u), series, u < 0.125);
}

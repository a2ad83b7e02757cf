// FP8 E4M3 values: a sign, 4 bits of exponent with bias 7, 3 bits of mantissa.

// The four bytes of `word`, lowest first. The two NaNs become numbers beyond the largest.
fn f8_values(word: u32) -> vec4f {
    let bits = vec4u(word) >> vec4u(0, 8, 16, 24);
    let magnitude = bits & vec4u(0x7f);
    // An f32's exponent is biased by 127 - 7 = 120 more, its mantissa 20 bits longer.
    let normal = bitcast<vec4f>((magnitude << vec4u(20)) + vec4u(120 << 23));
    let subnormal = vec4f(magnitude) * 0x1p-9;
    let value = select(normal, subnormal, magnitude < vec4u(8));
    return bitcast<vec4f>(bitcast<vec4u>(value) | ((bits & vec4u(0x80)) << vec4u(24)));
}

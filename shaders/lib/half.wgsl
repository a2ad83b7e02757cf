// f16 values in memory, in integer arithmetic: for devices without f16.
//
// Exact for every finite f16, subnormals included, even where the device flushes
// f32 subnormals or those of unpack2x16float. Infinities and NaN become large finite
// numbers.

alias Half2 = u32;
alias Half8 = vec4u;

// Two neighbouring values.
fn half2(stored: Half2) -> vec2f {
    let bits = vec2u(stored & 0xffff, stored >> 16);
    let magnitude = bits & vec2u(0x7fff);
    // An f32's exponent is biased by 127 - 15 = 112 more than an f16's.
    let normal = bitcast<vec2f>((magnitude << vec2u(13)) + vec2u(112 << 23));
    let subnormal = vec2f(magnitude) * 0x1p-24;
    let value = select(normal, subnormal, magnitude < vec2u(0x400));
    return bitcast<vec2f>(bitcast<vec2u>(value) | ((bits & vec2u(0x8000)) << vec2u(16)));
}

// Eight neighbouring values.
fn half8(stored: Half8) -> mat2x4f {
    return mat2x4f(vec4f(half2(stored.x), half2(stored.y)), vec4f(half2(stored.z), half2(stored.w)));
}

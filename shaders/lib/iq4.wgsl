// The table of the iq4 formats.

// What four numbers stand for.
fn iq4_levels(numbers: vec4u) -> vec4f {
    // -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113: four to a word, for an array in the
    // program's own memory is slow to index.
    let odd = (numbers & vec4u(4)) != vec4u(0);
    let below = select(vec4u(0xbfad9881), vec4u(0xf6eaddcf), odd);
    let above = select(vec4u(0x26190d01), vec4u(0x71594535), odd);
    let words = select(below, above, numbers >= vec4u(8));
    let bytes = words << (vec4u(24) - 8 * (numbers & vec4u(3)));
    return vec4f(bitcast<vec4i>(bytes) >> vec4u(24));
}

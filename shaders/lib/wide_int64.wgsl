// Eight neighbouring f32 in memory, as four 64-bit integers.
//
// Needs the device's 64-bit integers. Software drivers take as long for a load of four
// integers of 64 bits as for one of 32, so eight values come at the price of four.

alias Wide = vec4<u64>;

// Eight neighbouring values.
fn wide(stored: Wide) -> mat2x4f {
    let even = bitcast<vec4f>(vec4u(stored));
    let odd = bitcast<vec4f>(vec4u(stored >> vec4u(32)));
    return mat2x4f(even.x, odd.x, even.y, odd.y, even.z, odd.z, even.w, odd.w);
}

// The same on their way into memory.
fn wide_stored(values: mat2x4f) -> Wide {
    let even = bitcast<vec4u>(vec4f(values[0].x, values[0].z, values[1].x, values[1].z));
    let odd = bitcast<vec4u>(vec4f(values[0].y, values[0].w, values[1].y, values[1].w));
    return Wide(even) | (Wide(odd) << vec4u(32));
}

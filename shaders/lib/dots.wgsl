// Products of four rows of the weight with one row of `x`, LANES lanes sharing them.
//
// Needs WORKGROUP_SIZE and LANES, powers of two, LANES <= WORKGROUP_SIZE, and the files of inputs and lanes.

// A lane's part of the products with the row of `x` that starts at chunk `start`: every LANES-th chunk.
fn dots_partial(rows: vec4u, start: u32, lane: u32) -> vec4f {
    var partial = vec4f();
    for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
        let values = input8(start + chunk, chunk);
        let a = values[0];
        let b = values[1];
        let w0 = weight8(rows.x, chunk);
        let w1 = weight8(rows.y, chunk);
        let w2 = weight8(rows.z, chunk);
        let w3 = weight8(rows.w, chunk);
        partial += vec4f(dot(w0[0], a), dot(w1[0], a), dot(w2[0], a), dot(w3[0], a));
        partial += vec4f(dot(w0[1], b), dot(w1[1], b), dot(w2[1], b), dot(w3[1], b));
    }
    return partial;
}

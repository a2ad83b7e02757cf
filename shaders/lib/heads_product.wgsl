// Products of four rows of a head's matrix with the head's vector.
//
// Needs LANES, over whose lanes a sum is spread, and of the kernel
//   fn head_chunk(start: u32, chunk: u32) -> mat2x4f    // eight values of the vector

// A lane's part of the products, of which `inner` columns count: not every format has
// weights of zero behind them.
fn heads_product(start: u32, rows: vec4u, inner: u32, lane: u32) -> vec4f {
    var partial = vec4f();
    for (var chunk = lane % LANES; 8 * chunk < inner; chunk += LANES) {
        let values = head_chunk(start, chunk);
        let rest = vec4u(inner - 8 * chunk);
        let low = select(vec4f(), values[0], vec4u(0, 1, 2, 3) < rest);
        let high = select(vec4f(), values[1], vec4u(4, 5, 6, 7) < rest);
        let w0 = weight8(rows.x, chunk);
        let w1 = weight8(rows.y, chunk);
        let w2 = weight8(rows.z, chunk);
        let w3 = weight8(rows.w, chunk);
        partial += vec4f(dot(w0[0], low), dot(w1[0], low), dot(w2[0], low), dot(w3[0], low));
        partial += vec4f(dot(w0[1], high), dot(w1[1], high), dot(w2[1], high), dot(w3[1], high));
    }
    return partial;
}

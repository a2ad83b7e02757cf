// Products of four rows of `x` with four rows of the weight, in registers.
//
// Needs x: array<Wide> with rows of weight.chunks * 8 values.

// Element [i][j] is x_rows[i] times row weight_rows[j] of the weight.
fn block_product(x_rows: vec4u, weight_rows: vec4u) -> mat4x4f {
    let x_starts = weight.chunks * x_rows;
    var block = mat4x4f();
    for (var chunk = 0u; chunk < weight.chunks; chunk++) {
        let w0 = weight8(weight_rows.x, chunk);
        let w1 = weight8(weight_rows.y, chunk);
        let w2 = weight8(weight_rows.z, chunk);
        let w3 = weight8(weight_rows.w, chunk);
        let at = x_starts + chunk;
        block[0] += block_dots(wide(x[at.x]), w0, w1, w2, w3);
        block[1] += block_dots(wide(x[at.y]), w0, w1, w2, w3);
        block[2] += block_dots(wide(x[at.z]), w0, w1, w2, w3);
        block[3] += block_dots(wide(x[at.w]), w0, w1, w2, w3);
    }
    return block;
}

fn block_dots(values: mat2x4f, w0: mat2x4f, w1: mat2x4f, w2: mat2x4f, w3: mat2x4f) -> vec4f {
    return vec4f(
        dot(w0[0], values[0]) + dot(w0[1], values[1]),
        dot(w1[0], values[0]) + dot(w1[1], values[1]),
        dot(w2[0], values[0]) + dot(w2[1], values[1]),
        dot(w3[0], values[0]) + dot(w3[1], values[1]),
    );
}

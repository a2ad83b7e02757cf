// Four heads at once: eight columns of a row of each.

// Columns of `low` and `high` are the heads, their elements columns 0 to 3 and 4 to 7.
struct Heads {
    low: mat4x4f,
    high: mat4x4f,
}

// The products of each head's row with one and the same row.
fn heads_dot(heads: Heads, row: mat2x4f) -> vec4f {
    return row[0] * heads.low + row[1] * heads.high;
}

// Each head's row times its factor.
fn heads_scaled(heads: Heads, factors: vec4f) -> Heads {
    return Heads(columns_scaled(heads.low, factors), columns_scaled(heads.high, factors));
}

// Each head's row, and `row` times the head's factor.
fn heads_plus(heads: Heads, factors: vec4f, row: mat2x4f) -> Heads {
    let low = mat4x4f(row[0], row[0], row[0], row[0]);
    let high = mat4x4f(row[1], row[1], row[1], row[1]);
    return Heads(heads.low + columns_scaled(low, factors), heads.high + columns_scaled(high, factors));
}

fn columns_scaled(columns: mat4x4f, factors: vec4f) -> mat4x4f {
    return mat4x4f(
        factors.x * columns[0],
        factors.y * columns[1],
        factors.z * columns[2],
        factors.w * columns[3],
    );
}

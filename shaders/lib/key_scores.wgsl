// Products of eight queries with four keys, in registers.
//
// Needs q: array<Wide> and `cache`.

// Element [i] of each has the products of key i: with queries 0 to 3, and with 4 to 7.
struct KeyScores {
    low: mat4x4f,
    high: mat4x4f,
}

// A chunk of four queries.
fn key_scores_queries(at: vec4u) -> Heads {
    let a = wide(q[at.x]);
    let b = wide(q[at.y]);
    let c = wide(q[at.z]);
    let d = wide(q[at.w]);
    return Heads(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
}

// Queries of some chunks, which start at chunks `low` and `high` of q, and keys that start at chunk `first`
// of the rows of the cache that start at words `rows`. Eight neighbouring lanes have equal queries and chunks.
fn key_scores(low: vec4u, high: vec4u, rows: vec4u, first: u32, chunks: u32, lane: u32) -> KeyScores {
    var scores = KeyScores();
    for (var i = 0u; i < chunks; i++) {
        let k0 = cache8(rows.x, first + i);
        let k1 = cache8(rows.y, first + i);
        let k2 = cache8(rows.z, first + i);
        let k3 = cache8(rows.w, first + i);
        let l = key_scores_queries(low + i);
        scores.low += mat4x4f(heads_dot(l, k0), heads_dot(l, k1), heads_dot(l, k2), heads_dot(l, k3));
        let h = key_scores_queries(high + i);
        scores.high += mat4x4f(heads_dot(h, k0), heads_dot(h, k1), heads_dot(h, k2), heads_dot(h, k3));
    }
    return scores;
}

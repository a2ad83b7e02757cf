// Products of eight queries with four keys, in registers, for software adapters with subgroups of eight lanes: an
// exchange of registers costs them less than a load.
//
// Needs q: array<Wide> and `cache`.

// Element [i] of each has the products of key i: with queries 0 to 3, and with 4 to 7.
struct KeyScores {
    low: mat4x4f,
    high: mat4x4f,
}

// Four lanes' chunks from lane `first` on.
fn key_scores_queries(own: mat2x4f, first: u32) -> Heads {
    return Heads(
        mat4x4f(
            subgroupShuffle(own[0], first),
            subgroupShuffle(own[0], first + 1),
            subgroupShuffle(own[0], first + 2),
            subgroupShuffle(own[0], first + 3),
        ),
        mat4x4f(
            subgroupShuffle(own[1], first),
            subgroupShuffle(own[1], first + 1),
            subgroupShuffle(own[1], first + 2),
            subgroupShuffle(own[1], first + 3),
        ),
    );
}

// Queries of some chunks, which start at chunks `low` and `high` of q, and keys that start at chunk `first`
// of the rows of the cache that start at words `rows`. Eight neighbouring lanes have equal queries and chunks.
fn key_scores(low: vec4u, high: vec4u, rows: vec4u, first: u32, chunks: u32, lane: u32) -> KeyScores {
    // A lane loads one query for all.
    let at = select(low[lane % 4], high[lane % 4], lane % 8 >= 4);
    var scores = KeyScores();
    for (var i = 0u; i < chunks; i++) {
        let own = wide(q[at + i]);
        let k0 = cache8(rows.x, first + i);
        let k1 = cache8(rows.y, first + i);
        let k2 = cache8(rows.z, first + i);
        let k3 = cache8(rows.w, first + i);
        let l = key_scores_queries(own, 0u);
        scores.low += mat4x4f(heads_dot(l, k0), heads_dot(l, k1), heads_dot(l, k2), heads_dot(l, k3));
        let h = key_scores_queries(own, 4u);
        scores.high += mat4x4f(heads_dot(h, k0), heads_dot(h, k1), heads_dot(h, k2), heads_dot(h, k3));
    }
    return scores;
}

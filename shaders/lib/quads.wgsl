// Attention of 16 heads in registers, a quad of four of them at a time, for software adapters with subgroups of
// eight lanes.
//
// A lane has four keys, and of the values eight columns. Needs q: array<Wide>, `cache`, NOTHING, params.scale and
// params.width in chunks of 8 columns.

// Of 16 heads, four to each: columns are the lane's keys.
struct Quads {
    a: mat4x4f,
    b: mat4x4f,
    c: mat4x4f,
    d: mat4x4f,
}

// Of as many heads: the sums of eight columns.
struct Sums {
    a: Heads,
    b: Heads,
    c: Heads,
    d: Heads,
}

fn quad_nothing() -> mat4x4f {
    let nothing = vec4f(NOTHING);
    return mat4x4f(nothing, nothing, nothing, nothing);
}

// Four heads' chunks.
fn quad_heads(a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f) -> Heads {
    return Heads(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
}

fn quad_of_lane(own: mat2x4f, lane: u32) -> mat2x4f {
    return mat2x4f(subgroupShuffle(own[0], lane), subgroupShuffle(own[1], lane));
}

// Products of the heads of four lanes, from lane `first` on, with four keys.
fn quad_products(own: mat2x4f, first: u32, k0: mat2x4f, k1: mat2x4f, k2: mat2x4f, k3: mat2x4f) -> mat4x4f {
    let heads = quad_heads(
        quad_of_lane(own, first),
        quad_of_lane(own, first + 1),
        quad_of_lane(own, first + 2),
        quad_of_lane(own, first + 3),
    );
    return mat4x4f(heads_dot(heads, k0), heads_dot(heads, k1), heads_dot(heads, k2), heads_dot(heads, k3));
}

// Scores of keys from `first` on; those from `end` on count for nothing.
fn quad_masked(scores: mat4x4f, first: u32, end: u32) -> mat4x4f {
    let nothing = vec4f(NOTHING);
    return mat4x4f(
        select(nothing, params.scale * scores[0], first < end),
        select(nothing, params.scale * scores[1], first + 1 < end),
        select(nothing, params.scale * scores[2], first + 2 < end),
        select(nothing, params.scale * scores[3], first + 3 < end),
    );
}

// The scores of the keys in the rows of the cache that start at words `keys`; a lane's two queries start at chunks
// `near` and `far` of q.
fn quad_scores(near: u32, far: u32, keys: vec4u, first: u32, end: u32) -> Quads {
    var scores = Quads();
    for (var i = 0u; i < params.width; i++) {
        // A lane loads two queries for all.
        let near_own = wide(q[near + i]);
        let far_own = wide(q[far + i]);
        let k0 = cache8(keys.x, i);
        let k1 = cache8(keys.y, i);
        let k2 = cache8(keys.z, i);
        let k3 = cache8(keys.w, i);
        scores.a += quad_products(near_own, 0u, k0, k1, k2, k3);
        scores.b += quad_products(near_own, 4u, k0, k1, k2, k3);
        scores.c += quad_products(far_own, 0u, k0, k1, k2, k3);
        scores.d += quad_products(far_own, 4u, k0, k1, k2, k3);
    }
    return Quads(
        quad_masked(scores.a, first, end),
        quad_masked(scores.b, first, end),
        quad_masked(scores.c, first, end),
        quad_masked(scores.d, first, end),
    );
}

fn quad_most(scores: mat4x4f) -> vec4f {
    return subgroupMax(max(max(scores[0], scores[1]), max(scores[2], scores[3])));
}

// The largest scores so far, of all lanes' keys.
fn quad_largest(scores: Quads, before: mat4x4f) -> mat4x4f {
    return mat4x4f(
        max(before[0], quad_most(scores.a)),
        max(before[1], quad_most(scores.b)),
        max(before[2], quad_most(scores.c)),
        max(before[3], quad_most(scores.d)),
    );
}

fn quad_exp(scores: mat4x4f, largest: vec4f) -> mat4x4f {
    return mat4x4f(
        exp(scores[0] - largest),
        exp(scores[1] - largest),
        exp(scores[2] - largest),
        exp(scores[3] - largest),
    );
}

fn quad_weights(scores: Quads, largest: mat4x4f) -> Quads {
    return Quads(
        quad_exp(scores.a, largest[0]),
        quad_exp(scores.b, largest[1]),
        quad_exp(scores.c, largest[2]),
        quad_exp(scores.d, largest[3]),
    );
}

// What sums shrink by when the largest scores grow.
fn quad_shrink(before: mat4x4f, now: mat4x4f) -> mat4x4f {
    return mat4x4f(
        exp(before[0] - now[0]),
        exp(before[1] - now[1]),
        exp(before[2] - now[2]),
        exp(before[3] - now[3]),
    );
}

// The sums of the lane's own weights.
fn quad_total(before: mat4x4f, shrink: mat4x4f, weights: Quads) -> mat4x4f {
    let ones = vec4f(1);
    return mat4x4f(
        before[0] * shrink[0] + weights.a * ones,
        before[1] * shrink[1] + weights.b * ones,
        before[2] * shrink[2] + weights.c * ones,
        before[3] * shrink[3] + weights.d * ones,
    );
}

// The sums of all lanes.
fn quad_everywhere(own: mat4x4f) -> mat4x4f {
    return mat4x4f(subgroupAdd(own[0]), subgroupAdd(own[1]), subgroupAdd(own[2]), subgroupAdd(own[3]));
}

// Adds the values of the four keys of a lane.
fn quad_plus(sum: Heads, own: mat4x4f, lane: u32, a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f) -> Heads {
    let ab = heads_plus(heads_plus(sum, subgroupShuffle(own[0], lane), a), subgroupShuffle(own[1], lane), b);
    return heads_plus(heads_plus(ab, subgroupShuffle(own[2], lane), c), subgroupShuffle(own[3], lane), d);
}

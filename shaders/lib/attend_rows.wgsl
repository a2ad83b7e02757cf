// The online softmax of up to eight query rows.
//
// Needs WORKGROUP_SIZE and, of `params`, scale and value in chunks of 8 columns.

const ATTEND_NOTHING: f32 = -1e30;

// Where each lane's four keys start in the cache.
var<workgroup> attend_keys: array<vec4u, WORKGROUP_SIZE>;
// Each lane's largest score of each row, and at the end the sums of its weights.
var<workgroup> attend_rows: array<mat2x4f, WORKGROUP_SIZE>;
// Element [i][j] holds row j's weights of keys 4 * i to 4 * i + 3, and at the end half of lane i's columns of row j / 2.
var<workgroup> attend_weights: array<array<vec4f, 8>, WORKGROUP_SIZE>;

// The state of the softmax. Elements are rows: 0 to 3, and 4 to 7.
struct Attended {
    largest: mat2x4f,
    total: mat2x4f,
    low: Heads,
    high: Heads,
}

// Four keys' scores, without those that rows do not see.
fn attend_masked(scores: mat4x4f, first: u32, ends: vec4u) -> mat4x4f {
    return mat4x4f(
        select(vec4f(ATTEND_NOTHING), params.scale * scores[0], vec4u(first) < ends),
        select(vec4f(ATTEND_NOTHING), params.scale * scores[1], vec4u(first + 1) < ends),
        select(vec4f(ATTEND_NOTHING), params.scale * scores[2], vec4u(first + 2) < ends),
        select(vec4f(ATTEND_NOTHING), params.scale * scores[3], vec4u(first + 3) < ends),
    );
}

// The same as weights. Where nothing is seen yet, all scores are as large as the largest.
fn attend_weighed(scores: mat4x4f, largest: vec4f, first: u32, ends: vec4u) -> mat4x4f {
    return mat4x4f(
        select(vec4f(), exp(scores[0] - largest), vec4u(first) < ends),
        select(vec4f(), exp(scores[1] - largest), vec4u(first + 1) < ends),
        select(vec4f(), exp(scores[2] - largest), vec4u(first + 2) < ends),
        select(vec4f(), exp(scores[3] - largest), vec4u(first + 3) < ends),
    );
}

fn attend_most(scores: mat4x4f, largest: vec4f) -> vec4f {
    return max(largest, max(max(scores[0], scores[1]), max(scores[2], scores[3])));
}

// Four more keys' values; a column of `low` and `high` has their weights in a row.
fn attend_add(state: ptr<function, Attended>, low: mat4x4f, high: mat4x4f, a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f) {
    let ones = vec4f(1);
    (*state).total += mat2x4f(ones * low, ones * high);
    let first = mat4x4f(a[0], b[0], c[0], d[0]);
    let second = mat4x4f(a[1], b[1], c[1], d[1]);
    (*state).low.low += first * low;
    (*state).low.high += second * low;
    (*state).high.low += first * high;
    (*state).high.high += second * high;
}

// Shares rows 4 * half .. 4 * half + 3 with the other lanes.
fn attend_share(state: Attended, half: u32, lane: u32) {
    attend_rows[lane] = state.total;
    var rows = state.low;
    if half != 0 {
        rows = state.high;
    }
    attend_weights[lane][0] = rows.low[0];
    attend_weights[lane][1] = rows.high[0];
    attend_weights[lane][2] = rows.low[1];
    attend_weights[lane][3] = rows.high[1];
    attend_weights[lane][4] = rows.low[2];
    attend_weights[lane][5] = rows.high[2];
    attend_weights[lane][6] = rows.low[3];
    attend_weights[lane][7] = rows.high[3];
    workgroupBarrier();
}

// The denominator of a row that is shared.
fn attend_total(row: u32) -> f32 {
    var total = 0.0;
    for (var i = 0u; i < attend_parts(); i++) {
        total += attend_rows[i * params.value][row / 4][row % 4];
    }
    return total;
}

// A chunk of such a row's values, divided by the denominator.
fn attend_mean(row: u32, chunk: u32) -> mat2x4f {
    var sum = mat2x4f();
    for (var i = 0u; i < attend_parts(); i++) {
        let own = i * params.value + chunk;
        sum += mat2x4f(attend_weights[own][2 * (row % 4)], attend_weights[own][2 * (row % 4) + 1]);
    }
    return (1 / attend_total(row)) * sum;
}

// y = x * transpose(weight), for two to eight tokens; with ADDED, the product is added to y.
//
//   x       [tokens, inner]
//   weight  [outer, inner]
//   y       [tokens, outer]
//
// LANES lanes share four values of all tokens' y; each sums every LANES-th chunk of
// `inner`, so that the weight is read once, neighbouring lanes neighbouring chunks. The
// sums meet in workgroup memory. TOKENS is 4 or 8, and not less than there are.

struct Params {
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override TOKENS: u32 = 8;
override ADDED: u32 = 0;

const LANES: u32 = 32;
// Vectors of a lane, one of them unused: lanes side by side lie in different banks.
const PITCH: u32 = 9;

var<workgroup> sums: array<vec4f, WORKGROUP_SIZE * PITCH>;

// Where rows of x start, in chunks; those behind the last token repeat it.
fn starts(first: u32) -> vec4u {
    return weight.chunks * min(first + vec4u(0, 1, 2, 3), vec4u(params.tokens - 1));
}

// Products with four rows of x, which are columns.
fn products(at: vec4u, left: mat4x4f, right: mat4x4f) -> mat4x4f {
    let x0 = wide(x[at.x]);
    let x1 = wide(x[at.y]);
    let x2 = wide(x[at.z]);
    let x3 = wide(x[at.w]);
    return left * mat4x4f(x0[0], x1[0], x2[0], x3[0]) + right * mat4x4f(x0[1], x1[1], x2[1], x3[1]);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let rows = min(first + vec4u(0, 1, 2, 3), vec4u(weight.rows - 1));
    let near_starts = starts(0);
    let far_starts = starts(4);
    var near = mat4x4f();
    var far = mat4x4f();
    for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
        let w0 = weight8(rows.x, chunk);
        let w1 = weight8(rows.y, chunk);
        let w2 = weight8(rows.z, chunk);
        let w3 = weight8(rows.w, chunk);
        let left = transpose(mat4x4f(w0[0], w1[0], w2[0], w3[0]));
        let right = transpose(mat4x4f(w0[1], w1[1], w2[1], w3[1]));
        near += products(near_starts + chunk, left, right);
        if TOKENS > 4 {
            far += products(far_starts + chunk, left, right);
        }
    }
    for (var i = 0u; i < 4; i++) {
        sums[lane * PITCH + i] = near[i];
        sums[lane * PITCH + i + 4] = far[i];
    }
    workgroupBarrier();

    // Each lane adds up one value: a row's of a token.
    let token = lane % LANES / 4;
    let row = first + lane % 4;
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) {
        sum += sums[(lane / LANES * LANES + i) * PITCH + token][lane % 4];
    }
    if token < params.tokens && row < weight.rows {
        let at = token * weight.total_rows + weight.first_row + row;
        if ADDED == 0 {
            y[at] = sum;
        } else {
            y[at] += sum;
        }
    }
}

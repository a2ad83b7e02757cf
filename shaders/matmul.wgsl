// y = x * transpose(weight), for few tokens.
//
//   x       [tokens, inner]
//   weight  [outer, inner]
//   y       [tokens, outer]
//
// LANES lanes share four values of a token's y; each sums every LANES-th chunk of `inner`.

@group(0) @binding(0) var<storage, read> x: array<Wide>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let rows = min(first + vec4u(0, 1, 2, 3), vec4u(weight.rows - 1));

    var partial = vec4f();
    for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
        let values = wide(x[token * weight.chunks + chunk]);
        let a = values[0];
        let b = values[1];
        let w0 = weight8(rows.x, chunk);
        let w1 = weight8(rows.y, chunk);
        let w2 = weight8(rows.z, chunk);
        let w3 = weight8(rows.w, chunk);
        partial += vec4f(dot(w0[0], a), dot(w1[0], a), dot(w2[0], a), dot(w3[0], a));
        partial += vec4f(dot(w0[1], b), dot(w1[1], b), dot(w2[1], b), dot(w3[1], b));
    }
    let total = vec4f(
        lanes_sum(partial.x, lane),
        lanes_sum(partial.y, lane),
        lanes_sum(partial.z, lane),
        lanes_sum(partial.w, lane),
    );
    if lane % LANES == 0 {
        let start = token * weight.total_rows + weight.first_row + first;
        for (var i = 0u; i < 4 && first + i < weight.rows; i++) {
            y[start + i] = total[i];
        }
    }
}

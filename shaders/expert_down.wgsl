// y = the sum over a token's slots of weights * (x * transpose(weight)), with each slot's expert, for few tokens.
//
//   x                 [tokens, slots, inner]
//   choices, weights  [tokens, slots]
//   weight            [experts, outer, inner]
//   y                 [tokens, outer]
//
// LANES lanes share four values of a token's y; slots are added in their order. A launch
// for a later shard adds to what the earlier ones wrote.

struct Params {
    slots: u32,
    outer: u32,
    later_shard: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> choices: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let columns = min(first + vec4u(0, 1, 2, 3), vec4u(params.outer - 1));

    var partial = vec4f();
    for (var slot = 0u; slot < params.slots; slot++) {
        let entry = token * params.slots + slot;
        let expert_row = choices[entry] * params.outer - weight.first_row;
        // Experts of other shards are left to their launches; those before it wrap around.
        if expert_row >= weight.rows {
            continue;
        }
        let rows = expert_row + columns;
        var products = vec4f();
        for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
            let values = wide(x[entry * weight.chunks + chunk]);
            let a = values[0];
            let b = values[1];
            let w0 = weight8(rows.x, chunk);
            let w1 = weight8(rows.y, chunk);
            let w2 = weight8(rows.z, chunk);
            let w3 = weight8(rows.w, chunk);
            products += vec4f(dot(w0[0], a), dot(w1[0], a), dot(w2[0], a), dot(w3[0], a));
            products += vec4f(dot(w0[1], b), dot(w1[1], b), dot(w2[1], b), dot(w3[1], b));
        }
        partial += weights[entry] * products;
    }
    let total = vec4f(
        lanes_sum(partial.x, lane),
        lanes_sum(partial.y, lane),
        lanes_sum(partial.z, lane),
        lanes_sum(partial.w, lane),
    );
    if lane % LANES == 0 {
        let start = token * params.outer + first;
        for (var i = 0u; i < 4 && first + i < params.outer; i++) {
            if params.later_shard != 0 {
                y[start + i] += total[i];
            } else {
                y[start + i] = total[i];
            }
        }
    }
}

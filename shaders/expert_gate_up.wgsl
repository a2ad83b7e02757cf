// y = silu(gate * x) * (up * x) with the weights of each slot's expert, for few tokens.
//
//   x        [tokens, inner]
//   choices  [tokens, slots]
//   weight   [experts, 2 * width, inner]
//   y        [tokens, slots, width]
//
// LANES lanes share two values of a slot's y. The first half of an expert's rows is
// the gate, the second the up projection.

struct Params {
    slots: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> choices: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let entry = workgroup.y;
    let token = entry / params.slots;
    let expert_row = choices[entry] * 2 * params.width - weight.first_row;
    // Experts of other shards are left to their launches; those before it wrap around.
    if expert_row >= weight.rows {
        return;
    }
    let first = 2 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let gate = expert_row + min(first + vec2u(0, 1), vec2u(params.width - 1));
    let up = gate + params.width;

    var partial = vec4f();
    for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
        let values = wide(x[token * weight.chunks + chunk]);
        let a = values[0];
        let b = values[1];
        let w0 = weight8(gate.x, chunk);
        let w1 = weight8(gate.y, chunk);
        let w2 = weight8(up.x, chunk);
        let w3 = weight8(up.y, chunk);
        partial += vec4f(dot(w0[0], a), dot(w1[0], a), dot(w2[0], a), dot(w3[0], a));
        partial += vec4f(dot(w0[1], b), dot(w1[1], b), dot(w2[1], b), dot(w3[1], b));
    }
    let gates = vec2f(lanes_sum(partial.x, lane), lanes_sum(partial.y, lane));
    let ups = vec2f(lanes_sum(partial.z, lane), lanes_sum(partial.w, lane));
    let products = gates / (1 + exp(min(-gates, vec2f(80)))) * ups;
    if lane % LANES == 0 {
        let start = entry * params.width + first;
        for (var i = 0u; i < 2 && first + i < params.width; i++) {
            y[start + i] = products[i];
        }
    }
}

// y = silu(gate * x) * (up * x) with the weights of each slot's expert, for few tokens; with NORMED, x is normalised
// first.
//
//   x        [tokens, inner]
//   gain     [inner]
//   choices  [tokens, slots]
//   weight   [experts, 2 * outer, inner]
//   y        [tokens, slots, outer]
//
// LANES lanes share two values of a slot's y. The first half of an expert's rows is
// the gate, the second the up projection. Without NORMED, any tensor does for `gain`.

struct Params {
    width: u32,
    epsilon: f32,
    slots: u32,
    outer: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> gain: array<Wide>;
@group(0) @binding(3) var<storage, read> choices: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let entry = workgroup.y;
    let token = entry / params.slots;
    let expert_row = choices[entry] * 2 * params.outer - weight.first_row;
    // Experts of other shards are left to their launches; those before it wrap around.
    if expert_row >= weight.rows {
        return;
    }
    let first = 2 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let gates = expert_row + min(first + vec2u(0, 1), vec2u(params.outer - 1));
    let rows = vec4u(gates, gates + params.outer);
    let partial = dots_partial(rows, token * weight.chunks, lane);
    let total = lanes_sum4(partial, lane) * input_scale(lane);
    let products = gated(total.xy, total.zw);
    if lane % LANES == 0 {
        let start = entry * params.outer + first;
        for (var i = 0u; i < 2 && first + i < params.outer; i++) {
            y[start + i] = products[i];
        }
    }
}

// y += the sum over a token's slots of weights * (x * transpose(weight)), with each slot's expert, for few tokens.
//
//   x                 [tokens, slots, inner]
//   choices, weights  [tokens, slots]
//   weight            [experts, outer, inner]
//   y                 [tokens, outer]
//
// LANES lanes share four values of a token's y; slots are added in their order, those of
// other shards by their own launches.

struct Params {
    slots: u32,
    outer: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> choices: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

fn input8(at: u32, chunk: u32) -> mat2x4f {
    return wide(x[at]);
}

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
        if expert_row < weight.rows {
            partial += weights[entry] * dots_partial(expert_row + columns, entry * weight.chunks, lane);
        }
    }
    let total = lanes_sum4(partial, lane);
    if lane % LANES == 0 {
        let start = token * params.outer + first;
        for (var i = 0u; i < 4 && first + i < params.outer; i++) {
            y[start + i] += total[i];
        }
    }
}

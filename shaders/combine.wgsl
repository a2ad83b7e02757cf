// y += the sum over a token's slots of weights * x, in the order of the slots.
//
//   x        [tokens, slots, width]
//   weights  [tokens, slots]
//   y        [tokens, width]
//
// One lane per value of y.

struct Params {
    slots: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let column = workgroup.x * WORKGROUP_SIZE + lane;
    if column >= params.width {
        return;
    }
    var sum = 0.0;
    for (var slot = 0u; slot < params.slots; slot++) {
        let entry = token * params.slots + slot;
        sum += weights[entry] * x[entry * params.width + column];
    }
    y[token * params.width + column] += sum;
}

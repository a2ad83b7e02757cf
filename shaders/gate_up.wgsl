// y = silu(gate * x) * (up * x) (SwiGLU, arXiv 2002.05202), for few tokens; with NORMED, x is normalised first.
//
//   x       [tokens, inner]
//   gain    [inner]
//   weight  [2 * outer, inner]
//   y       [tokens, outer]
//
// LANES lanes share two values of a token's y. The first half of the weight's rows is the
// gate, the second the up projection. Without NORMED, any tensor does for `gain`.

struct Params {
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read> gain: array<Wide>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 32;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let outer = weight.rows / 2;
    let first = 2 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let gates = min(first + vec2u(0, 1), vec2u(outer - 1));
    let partial = dots_partial(vec4u(gates, gates + outer), token * weight.chunks, lane);
    let total = lanes_sum4(partial, lane) * input_scale(lane);
    let products = gated(total.xy, total.zw);
    if lane % LANES == 0 {
        let start = token * outer + first;
        for (var i = 0u; i < 2 && first + i < outer; i++) {
            y[start + i] = products[i];
        }
    }
}

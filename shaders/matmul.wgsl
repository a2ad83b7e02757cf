// y = x * transpose(weight), for few tokens; with NORMED, x is normalised first, with ADDED, the product is added to y.
//
//   x       [tokens, inner]
//   gain    [inner]
//   weight  [outer, inner]
//   y       [tokens, outer]
//
// LANES lanes share four values of a token's y; each sums every LANES-th chunk of `inner`.
// `width` is `inner` without padding. Without NORMED, any tensor does for `gain`.

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
override ADDED: u32 = 0;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let rows = min(first + vec4u(0, 1, 2, 3), vec4u(weight.rows - 1));
    let partial = dots_partial(rows, token * weight.chunks, lane);
    let total = lanes_sum4(partial, lane) * input_scale(lane);
    if lane % LANES == 0 {
        let start = token * weight.total_rows + weight.first_row + first;
        for (var i = 0u; i < 4 && first + i < weight.rows; i++) {
            if ADDED == 0 {
                y[start + i] = total[i];
            } else {
                y[start + i] += total[i];
            }
        }
    }
}

// y[h] = x[h] * transpose(weight[h]) for every head h, with a tail of x[h] copied behind it.
//
//   x       [tokens, heads, stride]
//   weight  [heads, outer, inner]
//   y       [tokens, heads, width]
//
// LANES lanes share four values of y. The first `inner` values of x[h] are multiplied;
// what follows them is copied behind the `outer` products (the rotary part of a query).
// `stride` is a multiple of 8 and counted in chunks of 8.

struct Params {
    heads: u32,
    stride: u32,
    inner: u32,
    outer: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Wide>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 8;

// Value `column` of a row of x, zero beyond its end.
fn x_value(x_start: u32, column: u32) -> f32 {
    let values = wide(x[x_start + min(column / 8, params.stride - 1)]);
    return select(0.0, values[column / 4 % 2][column % 4], column < 8 * params.stride);
}

fn head_chunk(start: u32, chunk: u32) -> mat2x4f {
    return wide(x[start + chunk]);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    // Heads of the shard only.
    let local_head = workgroup.y;
    let head = weight.first_row / params.outer + local_head;
    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let x_start = (token * params.heads + head) * params.stride;
    let rows = local_head * params.outer + min(first + vec4u(0, 1, 2, 3), vec4u(params.outer - 1));

    let partial = heads_product(x_start, rows, params.inner, lane);
    let total = vec4f(
        lanes_sum(partial.x, lane),
        lanes_sum(partial.y, lane),
        lanes_sum(partial.z, lane),
        lanes_sum(partial.w, lane),
    );
    if lane % LANES == 0 {
        let y_start = (token * params.heads + head) * params.width;
        for (var column = first; column < min(first + 4, params.width); column++) {
            if column < params.outer {
                y[y_start + column] = total[column - first];
            } else {
                y[y_start + column] = x_value(x_start, params.inner + column - params.outer);
            }
        }
    }
}

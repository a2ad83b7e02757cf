// y[h] = x[h] * transpose(weight[h]) for every head h, with a tail of x[h] copied behind it: matmul_heads for many tokens.
//
//   x       [tokens, heads, stride]
//   weight  [heads, outer, inner]
//   y       [tokens, heads, width]
//
// A lane takes four values of four tokens, in registers. The first `inner` values of x[h] are
// multiplied; what follows them is copied behind the `outer` products (the rotary part of
// a query). `stride` is a multiple of 8 and counted in chunks of 8.

struct Params {
    tokens: u32,
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

// Value `column` of a row of x, zero beyond its end.
fn x_value(start: u32, column: u32) -> f32 {
    let values = wide(x[start + min(column / 8, params.stride - 1)]);
    return select(0.0, values[column / 4 % 2][column % 4], column < 8 * params.stride);
}

// Eight values of a row of x, zero from `inner` on: not every format has weights of zero there.
fn x_chunk(start: u32, chunk: u32) -> mat2x4f {
    let values = wide(x[start + chunk]);
    let rest = vec4u(params.inner - 8 * chunk);
    return mat2x4f(
        select(vec4f(), values[0], vec4u(0, 1, 2, 3) < rest),
        select(vec4f(), values[1], vec4u(4, 5, 6, 7) < rest),
    );
}

fn weights(rows: vec4u, chunk: u32) -> Heads {
    let a = weight8(rows.x, chunk);
    let b = weight8(rows.y, chunk);
    let c = weight8(rows.z, chunk);
    let d = weight8(rows.w, chunk);
    return Heads(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // Heads of the shard only.
    let local_head = workgroup.y;
    let head = weight.first_row / params.outer + local_head;
    let first = 4 * (workgroup.x * WORKGROUP_SIZE + lane);
    if first >= params.width {
        return;
    }
    let rows = local_head * params.outer + min(first + vec4u(0, 1, 2, 3), vec4u(params.outer - 1));
    let first_token = 4 * workgroup.z;
    let tokens = min(first_token + vec4u(0, 1, 2, 3), vec4u(params.tokens - 1));
    let starts = (tokens * params.heads + head) * params.stride;

    // Element [i] has the products of token i.
    var block = mat4x4f();
    for (var chunk = 0u; 8 * chunk < params.inner && first < params.outer; chunk++) {
        let own = weights(rows, chunk);
        block += mat4x4f(
            heads_dot(own, x_chunk(starts.x, chunk)),
            heads_dot(own, x_chunk(starts.y, chunk)),
            heads_dot(own, x_chunk(starts.z, chunk)),
            heads_dot(own, x_chunk(starts.w, chunk)),
        );
    }
    for (var i = 0u; i < min(4, params.tokens - first_token); i++) {
        let y_start = ((first_token + i) * params.heads + head) * params.width;
        for (var column = first; column < min(first + 4, params.width); column++) {
            if column < params.outer {
                y[y_start + column] = block[i][column - first];
            } else {
                y[y_start + column] = x_value(starts[i], params.inner + column - params.outer);
            }
        }
    }
}

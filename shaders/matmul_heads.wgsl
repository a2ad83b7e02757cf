// y[h] = x[h] * transpose(weight[h]) for every head h, with a tail of x[h] copied behind it.
//
//   x       [tokens, heads, stride]
//   weight  [heads, outer, inner]
//   y       [tokens, heads, width]
//
// LANES lanes share a value of y. The first `inner` values of x[h] are multiplied;
// what follows them is copied behind the `outer` products (the rotary part of a query).

struct Params {
    heads: u32,
    stride: u32,
    inner: u32,
    outer: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 8;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    // Heads of the shard only.
    let local_head = workgroup.y;
    let head = weight.first_row / params.outer + local_head;
    let column = workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES;
    let x_start = (token * params.heads + head) * params.stride;
    let row = local_head * params.outer + min(column, params.outer - 1);

    var partial = 0.0;
    for (var chunk = lane % LANES; chunk < weight.chunks; chunk += LANES) {
        let w = weight8(row, chunk);
        let at = 8 * chunk;
        let left = params.inner - at;
        // A slice of a head need not be aligned, nor a multiple of eight long.
        for (var i = 0u; i < min(left, 8); i++) {
            partial += w[i / 4][i % 4] * x[x_start + at + i];
        }
    }
    let total = lanes_sum(partial, lane);
    if lane % LANES == 0 && column < params.width {
        let tail = params.inner + column - params.outer;
        let y_start = (token * params.heads + head) * params.width + column;
        if column < params.outer {
            y[y_start] = total;
        } else {
            y[y_start] = select(0.0, x[x_start + min(tail, params.stride - 1)], tail < params.stride);
        }
    }
}

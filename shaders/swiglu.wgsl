// y = silu(gate) * up (SwiGLU, arXiv 2002.05202).
//
//   x  [rows, 2, width]
//   y  [rows, width]
//
// One lane per value of y. A row of x is the gate, then the up projection.

struct Params {
    width: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if i >= params.count {
        return;
    }
    let gate = x[i + i / params.width * params.width];
    let up = x[i + (i / params.width + 1) * params.width];
    // The bound keeps exp finite; beyond it silu is zero in f32.
    y[i] = gate / (1 + exp(min(-gate, 80.0))) * up;
}

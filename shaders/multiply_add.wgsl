// y = x after ROUNDS times x * factor + addend, for measuring how fast registers are multiplied and added.
//
//   x  [count, 8]
//   y  [count, 8]
//
// One lane per eight values, which are eight chains: enough to hide how long a multiplication
// takes, and few enough for the registers of a processor. ROUNDS is a multiple of 8.

struct Params {
    factor: f32,
    addend: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<mat2x4f>;
@group(0) @binding(2) var<storage, read_write> y: array<mat2x4f>;

override WORKGROUP_SIZE: u32 = 64;
override ROUNDS: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup.x * WORKGROUP_SIZE + lane;
    let factor = vec4f(params.factor);
    let addend = vec4f(params.addend);
    var a = x[i][0];
    var b = x[i][1];
    for (var round = 0u; round < ROUNDS; round += 8) {
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
        a = a * factor + addend;
        b = b * factor + addend;
    }
    y[i] = mat2x4f(a, b);
}

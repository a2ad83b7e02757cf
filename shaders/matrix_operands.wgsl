// operands = x / scales, row by row, in the type that matrix units multiply.
//
//   x         [rows, width]
//   operands  [parts, padded_rows, stride]
//   scales    [rows]
//
// One workgroup per row of x. The second parts are `low` values behind the first ones.
// Columns from `width` on are zeros; rows behind the last one stay as they are, for nothing
// that is kept is computed from them.

struct Params {
    width: u32,
    stride: u32,
    low: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> operands: array<UnitValue>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;

override WORKGROUP_SIZE: u32 = 256;
override LANES: u32 = WORKGROUP_SIZE;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x;
    let start = row * params.width;
    var magnitudes = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        magnitudes += abs(x[start + i]);
    }
    let both = operand_scales(lanes_sum(magnitudes, lane));
    for (var i = lane; i < params.stride; i += WORKGROUP_SIZE) {
        var value = 0.0;
        if i < params.width {
            value = x[start + i] * both.x;
        }
        let at = row * params.stride + i;
        operands[at] = unit_high(vec4f(value)).x;
        if UNIT_PARTS == 2 {
            operands[params.low + at] = unit_low(vec4f(value)).x;
        }
    }
    if lane == 0 {
        scales[row] = both.y;
    }
}

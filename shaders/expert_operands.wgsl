// operands[place] = x[entries[place] / repeat] / scale, in the type that matrix units multiply.
//
//   x         [rows, width]
//   entries   [tokens, slots]
//   operands  [parts, padded_rows, stride]
//   places    [tokens, slots, 2]
//
// One workgroup per entry: `repeat` is the number of slots where they share a token's row
// of x, else 1. The second parts are `low` values behind the first ones. Columns from
// `width` on are zeros; rows behind the last one stay as they are, for nothing that is kept
// is computed from them. A place is an entry and its scale.

struct Params {
    repeat: u32,
    width: u32,
    stride: u32,
    low: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> entries: array<u32>;
@group(0) @binding(3) var<storage, read_write> operands: array<UnitValue>;
@group(0) @binding(4) var<storage, read_write> places: array<vec2u>;

override WORKGROUP_SIZE: u32 = 256;
override LANES: u32 = WORKGROUP_SIZE;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = workgroup.y * workgroups.x + workgroup.x;
    let entry = entries[place];
    let start = entry / params.repeat * params.width;
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
        let at = place * params.stride + i;
        operands[at] = unit_high(vec4f(value)).x;
        if UNIT_PARTS == 2 {
            operands[params.low + at] = unit_low(vec4f(value)).x;
        }
    }
    if lane == 0 {
        places[place] = vec2u(entry, bitcast<u32>(both.y));
    }
}

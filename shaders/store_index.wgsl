// cache[slot] = rope(layernorm(x) * gain + bias): what sparse attention chooses a token by (DeepSeek-V3.2).
//
//   x           [tokens, stride]
//   gain, bias  [width]
//   rotations   [tokens, pairs, 2]
//   slots       [tokens]
//   cache       [rows, width]
//
// One workgroup per token, whose row of the cache is its slot, or its own number where SLOTS
// is 0. The first `width` columns of x are normalised (LayerNorm, arXiv 1607.06450), then
// the first 2 * pairs of them turn; those of a pair are `pairs` columns apart.

struct Params {
    stride: u32,
    width: u32,
    pairs: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<storage, read_write> cache: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = WORKGROUP_SIZE;
override SLOTS: u32 = 1;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x;
    let x_start = token * params.stride;
    let row_start = select(token, slots[token], SLOTS != 0) * params.width;

    var sum = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        sum += x[x_start + i];
    }
    let mean = lanes_sum(sum, lane) / f32(params.width);
    var sum_of_squares = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        let centred = x[x_start + i] - mean;
        sum_of_squares += centred * centred;
    }
    let variance = lanes_sum(sum_of_squares, lane) / f32(params.width);
    let scale = inverseSqrt(variance + params.epsilon);

    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        var value = (x[x_start + i] - mean) * scale * gain[i] + bias[i];
        if i < 2 * params.pairs {
            let is_second = i >= params.pairs;
            let partner = select(i + params.pairs, i - params.pairs, is_second);
            let other = (x[x_start + partner] - mean) * scale * gain[partner] + bias[partner];
            let rotation = rotations[token * params.pairs + i % params.pairs];
            value = value * rotation.x + other * select(-rotation.y, rotation.y, is_second);
        }
        cache[row_start + i] = value;
    }
}

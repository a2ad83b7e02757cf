// cache[slot] = rope(layernorm(x) * gain + bias): what sparse attention chooses a token by (DeepSeek-V3.2).
//
//   x           [tokens, stride]
//   gain, bias  [width]
//   rotations   [tokens, pairs, 2]
//   slots       [tokens]
//   cache       [slots, words]
//
// One workgroup per token. The first `width` columns of x are normalised (LayerNorm, arXiv 1607.06450), then
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
@group(0) @binding(6) var<storage, read_write> cache: array<CacheWord>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = WORKGROUP_SIZE;

fn normalised(token: u32, column: u32, mean: f32, scale: f32) -> f32 {
    return (x[token * params.stride + column] - mean) * scale * gain[column] + bias[column];
}

// The same, rotated.
fn rotated(token: u32, column: u32, mean: f32, scale: f32) -> f32 {
    let value = normalised(token, column, mean, scale);
    if column >= 2 * params.pairs {
        return value;
    }
    let is_second = column >= params.pairs;
    let partner = select(column + params.pairs, column - params.pairs, is_second);
    let other = normalised(token, partner, mean, scale);
    let rotation = rotations[token * params.pairs + column % params.pairs];
    return value * rotation.x + other * select(-rotation.y, rotation.y, is_second);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x;
    let x_start = token * params.stride;

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

    for (var block = lane; 32 * block < params.width; block += WORKGROUP_SIZE) {
        var values: array<mat2x4f, 4>;
        for (var i = 0u; i < min(32, params.width - 32 * block); i++) {
            values[i / 8][i / 4 % 2][i % 4] = rotated(token, 32 * block + i, mean, scale);
        }
        store_row_block(slots[token], params.width / 8, block, values);
    }
}

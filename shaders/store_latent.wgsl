// cache[slot] = (c / rms(c) * gain, rope(p)): what latent attention keeps of a token (DeepSeek-V2, arXiv 2405.04434).
//
//   x          [tokens, stride]
//   gain       [latent]
//   rotations  [tokens, pairs, 2]
//   slots      [tokens]
//   cache      [rows, width]
//
// One workgroup per token, whose row of the cache is its slot, or its own number where SLOTS
// is 0. c are the `latent` columns of x from `offset` on, p the
// 2 * pairs columns behind them. In the cache p starts at `rope_start`, and whatever
// neither fills is zero.

struct Params {
    stride: u32,
    offset: u32,
    latent: u32,
    pairs: u32,
    rope_start: u32,
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read_write> cache: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = WORKGROUP_SIZE;
override SLOTS: u32 = 1;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.x;
    let x_start = token * params.stride + params.offset;
    let row_start = select(token, slots[token], SLOTS != 0) * params.width;

    var sum_of_squares = 0.0;
    for (var i = lane; i < params.latent; i += WORKGROUP_SIZE) {
        sum_of_squares += x[x_start + i] * x[x_start + i];
    }
    let mean_square = lanes_sum(sum_of_squares, lane) / f32(params.latent);
    let scale = inverseSqrt(mean_square + params.epsilon);

    for (var i = lane; i < params.width; i += WORKGROUP_SIZE) {
        var value = 0.0;
        if i < params.latent {
            value = x[x_start + i] * scale * gain[i];
        } else if i >= params.rope_start && i < params.rope_start + 2 * params.pairs {
            let column = i - params.rope_start;
            let rotation = rotations[token * params.pairs + column / 2];
            let pair = x_start + params.latent + column / 2 * 2;
            let u = x[pair];
            let v = x[pair + 1];
            value = select(u * rotation.x - v * rotation.y, v * rotation.x + u * rotation.y, column % 2 == 1);
        }
        cache[row_start + i] = value;
    }
}

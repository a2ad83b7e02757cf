// Rotates pairs of x by the angle of their position, in place (RoPE, arXiv 2104.09864).
//
//   rotations  [tokens, pairs, 2]
//   x          [tokens, heads, stride]
//
// One lane per pair. Pairs start at column `offset` of each head; they are
// neighbours (interleaved) or `pairs` columns apart (half-split). A rotation is
// the cosine and the sine of its angle.

struct Params {
    heads: u32,
    stride: u32,
    offset: u32,
    pairs: u32,
    half_split: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.x * WORKGROUP_SIZE + lane;
    let pair = index % params.pairs;
    let head = index / params.pairs;
    if head >= params.heads {
        return;
    }
    let token = workgroup.y;
    let start = (token * params.heads + head) * params.stride + params.offset;
    let at = start + select(2 * pair, pair, params.half_split != 0);
    let other = at + select(1u, params.pairs, params.half_split != 0);
    let rotation = rotations[token * params.pairs + pair];
    let u = x[at];
    let v = x[other];
    x[at] = u * rotation.x - v * rotation.y;
    x[other] = v * rotation.x + u * rotation.y;
}

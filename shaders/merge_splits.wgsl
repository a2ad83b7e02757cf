// y = the splits of latent_attention merged, weighted by their shares of the softmax's denominator.
//
//   z          [tokens, splits, heads, latent]
//   stats      [tokens, splits, heads, 2]
//   positions  [tokens]
//   y          [tokens, heads, latent]
//
// One lane per vec4 of y. `latent` is counted in vec4s.

struct Params {
    heads: u32,
    latent: u32,
    splits: u32,
    split_keys: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let index = workgroup.x * WORKGROUP_SIZE + lane;
    let head = index / params.latent;
    if head >= params.heads {
        return;
    }
    let context = positions[token] + 1;
    let used_splits = clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);

    var largest = -1e30;
    for (var split = 0u; split < used_splits; split++) {
        largest = max(largest, stats[(token * params.splits + split) * params.heads + head].x);
    }
    var total = 0.0;
    var merged = vec4f();
    for (var split = 0u; split < used_splits; split++) {
        let at = token * params.splits + split;
        let stat = stats[at * params.heads + head];
        // A split without keys has no mean.
        if stat.y > 0 {
            let share = stat.y * exp(stat.x - largest);
            total += share;
            merged += share * z[at * params.heads * params.latent + index];
        }
    }
    y[token * params.heads * params.latent + index] = merged / total;
}

// y[h] = z[h] * transpose(weight[h]) for every head h, where z[h] is the parts of latent_attention put together,
// weighted by their shares of the softmax's denominator.
//
//   z          [tokens, splits, heads, inner]
//   stats      [tokens, splits, heads, 2]
//   positions  [tokens]
//   weight     [heads, outer, inner]
//   y          [tokens, heads, outer]
//
// A workgroup merges one head of one token for itself, and multiplies by 4 rows of the
// weight per LANES lanes. `stats` are a part's largest score and its sum of exponentials.
// `inner` is counted in chunks of 8, and CHUNKS.

struct Params {
    heads: u32,
    outer: u32,
    splits: u32,
    split_keys: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<Wide>;
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

override WORKGROUP_SIZE: u32 = 64;
override LANES: u32 = 8;
override CHUNKS: u32 = 64;
override SPLITS: u32 = 16;

var<workgroup> shares: array<f32, SPLITS>;
var<workgroup> merged: array<mat2x4f, CHUNKS>;

fn head_chunk(start: u32, chunk: u32) -> mat2x4f {
    return merged[start + chunk];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.z;
    // Heads of the shard only.
    let local_head = workgroup.y;
    let head = weight.first_row / params.outer + local_head;
    let context = positions[token] + 1;
    let splits = splits_of(context);
    let first_part = token * params.splits * params.heads + head;

    var largest = -1e30;
    for (var split = 0u; split < splits; split++) {
        largest = max(largest, stats[first_part + split * params.heads].x);
    }
    for (var split = lane; split < splits; split += WORKGROUP_SIZE) {
        let stat = stats[first_part + split * params.heads];
        shares[split] = stat.y * exp(stat.x - largest);
    }
    workgroupBarrier();
    var total = 0.0;
    for (var split = 0u; split < splits; split++) {
        total += shares[split];
    }
    for (var chunk = lane; chunk < CHUNKS; chunk += WORKGROUP_SIZE) {
        var sum = mat2x4f();
        for (var split = 0u; split < splits; split++) {
            // A part without keys has no mean.
            if shares[split] > 0 {
                sum += shares[split] * wide(z[(first_part + split * params.heads) * CHUNKS + chunk]);
            }
        }
        merged[chunk] = (1 / total) * sum;
    }
    workgroupBarrier();

    let first = 4 * (workgroup.x * (WORKGROUP_SIZE / LANES) + lane / LANES);
    let rows = local_head * params.outer + min(first + vec4u(0, 1, 2, 3), vec4u(params.outer - 1));
    let partial = heads_product(0, rows, 8 * CHUNKS, lane);
    let products = vec4f(
        lanes_sum(partial.x, lane),
        lanes_sum(partial.y, lane),
        lanes_sum(partial.z, lane),
        lanes_sum(partial.w, lane),
    );
    if lane % LANES == 0 {
        let start = (token * params.heads + head) * params.outer;
        for (var row = first; row < min(first + 4, params.outer); row++) {
            y[start + row] = products[row - first];
        }
    }
}

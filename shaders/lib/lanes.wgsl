// Sums over groups of LANES neighbouring lanes, through workgroup memory.
//
// Needs WORKGROUP_SIZE and LANES, powers of two, LANES <= WORKGROUP_SIZE.

var<workgroup> lanes_scratch: array<vec4f, WORKGROUP_SIZE>;

// The sum of `value` over the lanes of the group, returned to each of them.
fn lanes_sum4(value: vec4f, lane: u32) -> vec4f {
    if LANES == 1 {
        return value;
    }
    let place = lane % LANES;
    lanes_scratch[lane] = value;
    for (var half = LANES / 2; half > 0; half /= 2) {
        workgroupBarrier();
        if place < half {
            lanes_scratch[lane] += lanes_scratch[lane + half];
        }
    }
    workgroupBarrier();
    let total = lanes_scratch[lane - place];
    // The next sum overwrites what slower lanes still read.
    workgroupBarrier();
    return total;
}

fn lanes_sum(value: f32, lane: u32) -> f32 {
    return lanes_sum4(vec4f(value), lane).x;
}

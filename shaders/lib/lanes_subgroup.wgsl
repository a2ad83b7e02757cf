// Sums over groups of LANES neighbouring lanes, inside subgroups as far as they reach.
//
// Needs WORKGROUP_SIZE and LANES, powers of two, LANES <= WORKGROUP_SIZE, and
// subgroups of SUBGROUP_SIZE to WIDEST_SUBGROUP neighbouring lanes, all of them powers of two.

var<workgroup> lanes_scratch: array<vec4f, WORKGROUP_SIZE>;

// The sum of `value` over the lanes of the group, returned to each of them.
fn lanes_sum4(value: vec4f, lane: u32) -> vec4f {
    let sum = lanes_cluster_sum(value);
    if LANES <= SUBGROUP_SIZE {
        return sum;
    }
    if lane % SUBGROUP_SIZE == 0 {
        lanes_scratch[lane / SUBGROUP_SIZE] = sum;
    }
    workgroupBarrier();
    let first = lane / LANES * (LANES / SUBGROUP_SIZE);
    var total = vec4f();
    for (var i = 0u; i < LANES / SUBGROUP_SIZE; i++) {
        total += lanes_scratch[first + i];
    }
    // The next sum overwrites what slower lanes still read.
    workgroupBarrier();
    return total;
}

// The same over min(LANES, SUBGROUP_SIZE) neighbouring lanes, which every subgroup has whole.
fn lanes_cluster_sum(value: vec4f) -> vec4f {
    if LANES >= SUBGROUP_SIZE && SUBGROUP_SIZE == WIDEST_SUBGROUP {
        return subgroupAdd(value);
    }
    var total = value;
    for (var distance = min(LANES, SUBGROUP_SIZE) / 2; distance > 0; distance /= 2) {
        total += subgroupShuffleXor(total, distance);
    }
    return total;
}

fn lanes_sum(value: f32, lane: u32) -> f32 {
    return lanes_sum4(vec4f(value), lane).x;
}

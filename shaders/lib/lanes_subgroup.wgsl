// Sums over groups of LANES neighbouring lanes, inside subgroups as far as they reach.
//
// Needs WORKGROUP_SIZE and LANES, powers of two, LANES <= WORKGROUP_SIZE, and
// subgroups of SUBGROUP_SIZE neighbouring lanes.

var<workgroup> lanes_scratch: array<f32, WORKGROUP_SIZE>;

// The sum of `value` over the lanes of the group, returned to each of them.
fn lanes_sum(value: f32, lane: u32) -> f32 {
    if LANES == SUBGROUP_SIZE {
        return subgroupAdd(value);
    }
    if LANES < SUBGROUP_SIZE {
        var total = value;
        for (var distance = LANES / 2; distance > 0; distance /= 2) {
            total += subgroupShuffleXor(total, distance);
        }
        return total;
    }
    let sum = subgroupAdd(value);
    if lane % SUBGROUP_SIZE == 0 {
        lanes_scratch[lane / SUBGROUP_SIZE] = sum;
    }
    workgroupBarrier();
    let first = lane / LANES * (LANES / SUBGROUP_SIZE);
    var total = 0.0;
    for (var i = 0u; i < LANES / SUBGROUP_SIZE; i++) {
        total += lanes_scratch[first + i];
    }
    // The next sum overwrites what slower lanes still read.
    workgroupBarrier();
    return total;
}

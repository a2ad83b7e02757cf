// Sums over a workgroup, through its memory.
//
// Needs WORKGROUP_SIZE.

var<workgroup> workgroup_sum_parts: array<f32, WORKGROUP_SIZE>;

// The sum of `value` over all lanes, returned to each of them.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
    workgroup_sum_parts[lane] = value;
    workgroupBarrier();
    // Every lane adds them up, so that none has to wait for another.
    var total = 0.0;
    for (var i = 0u; i < WORKGROUP_SIZE; i++) {
        total += workgroup_sum_parts[i];
    }
    // The next sum overwrites what slower lanes still read.
    workgroupBarrier();
    return total;
}

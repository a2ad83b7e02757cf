// The least of the largest of some scores, found a byte at a time, by counting (radix selection).
//
// Needs WORKGROUP_SIZE and `scores`, the bits of finite f32.

// How many scores have a byte, of those that agree with `radix_least` in the bytes before.
var<workgroup> radix_counts: array<atomic<u32>, 256>;
// The order of the least score, and how many scores that equal it belong to the largest.
var<workgroup> radix_least: u32;
var<workgroup> radix_left: u32;

// A number that is larger the larger a score is, by its bits.
fn radix_order(bits: u32) -> u32 {
    // Both zeros are equal.
    let is_negative = bits > 0x80000000;
    return select((bits & 0x7fffffff) | 0x80000000, ~bits, is_negative);
}

// Finds the byte of `radix_least` at a shift, from the largest down.
fn radix_narrow(shift: u32) {
    var byte = 255u;
    var wanted = radix_left;
    loop {
        let count = atomicLoad(&radix_counts[byte]);
        if count >= wanted || byte == 0 {
            break;
        }
        wanted -= count;
        byte -= 1u;
    }
    radix_least |= byte << shift;
    radix_left = wanted;
}

// Sets `radix_least` and `radix_left` for the `most` largest of `count` scores from `first` on.
fn radix_select(first: u32, count: u32, most: u32, lane: u32) {
    if lane == 0 {
        radix_least = 0;
        radix_left = most;
    }
    for (var step = 0u; step < 4; step++) {
        let shift = 24 - 8 * step;
        for (var byte = lane; byte < 256; byte += WORKGROUP_SIZE) {
            atomicStore(&radix_counts[byte], 0);
        }
        workgroupBarrier();
        let known = radix_least;
        for (var i = lane; i < count; i += WORKGROUP_SIZE) {
            let order = radix_order(scores[first + i]);
            // In two shifts: one of 32 bits is none.
            if ((order ^ known) >> shift) >> 8 == 0 {
                atomicAdd(&radix_counts[(order >> shift) & 255], 1);
            }
        }
        workgroupBarrier();
        if lane == 0 {
            radix_narrow(shift);
        }
        workgroupBarrier();
    }
}

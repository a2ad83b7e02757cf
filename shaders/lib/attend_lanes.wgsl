// What the lanes of attend take from each other, through workgroup memory.
//
// Needs `cache` and WORKGROUP_SIZE, and params.value in chunks of 8 columns.

// The largest score of each row among the next `count` keys, of which a lane has four. Every lane
// finds it, so that none has to wait for another.
fn attend_largest(own: mat2x4f, count: u32, lane: u32) -> mat2x4f {
    attend_rows[lane] = own;
    workgroupBarrier();
    var most = own;
    for (var i = 0u; i < WORKGROUP_SIZE && 4 * i < count; i++) {
        most = mat2x4f(max(most[0], attend_rows[i][0]), max(most[1], attend_rows[i][1]));
    }
    return most;
}

// Lanes that have the same columns, of different keys.
fn attend_parts() -> u32 {
    return WORKGROUP_SIZE / params.value;
}

// Adds the next `count` keys, as far as there are, which start at chunk `first` of their rows. Keys beyond
// the end weigh nothing and repeat the last key's row.
fn attend_values(state: ptr<function, Attended>, first: u32, count: u32, lane: u32) {
    let chunk = first + lane % params.value;
    // Lanes beyond the last whole part have no keys.
    let part = select(WORKGROUP_SIZE, lane / params.value, lane < attend_parts() * params.value);
    for (var i = part; i < WORKGROUP_SIZE && 4 * i < count; i += attend_parts()) {
        let rows = attend_keys[i];
        let a = cache8(rows.x, chunk);
        let b = cache8(rows.y, chunk);
        let c = cache8(rows.z, chunk);
        let d = cache8(rows.w, chunk);
        let weights = attend_weights[i];
        let low = mat4x4f(weights[0], weights[1], weights[2], weights[3]);
        let high = mat4x4f(weights[4], weights[5], weights[6], weights[7]);
        attend_add(state, low, high, a, b, c, d);
    }
}

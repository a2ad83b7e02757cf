// What the lanes of attend take from each other, for software adapters with subgroups of eight lanes: an exchange of
// registers costs them less than a load.
//
// Needs `cache` and WORKGROUP_SIZE, a multiple of 8, and params.value in chunks of 8 columns.

// The largest score of each row among the next `count` keys, of which a lane has four. Every lane
// finds it, so that none has to wait for another.
fn attend_largest(own: mat2x4f, count: u32, lane: u32) -> mat2x4f {
    var most = mat2x4f(subgroupMax(own[0]), subgroupMax(own[1]));
    attend_rows[lane] = most;
    workgroupBarrier();
    for (var i = 0u; i < WORKGROUP_SIZE && 4 * i < count; i += 8) {
        most = mat2x4f(max(most[0], attend_rows[i][0]), max(most[1], attend_rows[i][1]));
    }
    return most;
}

// Lanes that have the same columns, of different keys.
fn attend_parts() -> u32 {
    return 1u;
}

// Four lanes' vectors.
fn attend_exchanged(own: vec4f, first: u32) -> mat4x4f {
    return mat4x4f(
        subgroupShuffle(own, first),
        subgroupShuffle(own, first + 1),
        subgroupShuffle(own, first + 2),
        subgroupShuffle(own, first + 3),
    );
}

// Adds the next `count` keys, as far as there are, which start at chunk `first` of their rows. Keys beyond
// the end weigh nothing and repeat the last key's row.
fn attend_values(state: ptr<function, Attended>, first: u32, count: u32, lane: u32) {
    let chunk = first + lane % params.value;
    for (var i = 0u; i < WORKGROUP_SIZE && 4 * i < count; i++) {
        let rows = attend_keys[i];
        let a = cache8(rows.x, chunk);
        let b = cache8(rows.y, chunk);
        let c = cache8(rows.z, chunk);
        let d = cache8(rows.w, chunk);
        // A lane loads the weights of one row for all.
        let own = attend_weights[i][lane % 8];
        attend_add(state, attend_exchanged(own, 0u), attend_exchanged(own, 4u), a, b, c, d);
    }
}

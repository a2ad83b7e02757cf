// What the workgroups of a tile leave for the last of them to merge.
//
// Needs parts: array<atomic<u32>>, and of `params` heads, splits and value in chunks of 8 columns.

// Where a row's part lies: its values, its largest score and its denominator.
fn part_start(tile: Tile, split: u32, row: u32) -> u32 {
    let token = tile.token + row / tile.heads;
    let head = tile.head + row % tile.heads;
    return ((token * params.splits + split) * params.heads + head) * (8 * params.value + 2);
}

// Workgroups see each other's values in atomics only. That the old value comes back, and
// is kept, says that the new one is there before the ticket is drawn.
fn part_leave(at: u32, value: f32) -> u32 {
    return atomicExchange(&parts[at], bitcast<u32>(value));
}

fn part_value(at: u32) -> f32 {
    return bitcast<f32>(atomicLoad(&parts[at]));
}

// The mean of the parts of a chunk, weighted by their shares of the denominator.
fn part_merged(tile: Tile, row: u32, chunk: u32) -> mat2x4f {
    var largest = ATTEND_NOTHING;
    for (var split = 0u; split < tile.splits; split++) {
        largest = max(largest, part_value(part_start(tile, split, row) + 8 * params.value));
    }
    var total = 0.0;
    var sum = mat2x4f();
    for (var split = 0u; split < tile.splits; split++) {
        let start = part_start(tile, split, row);
        let denominator = part_value(start + 8 * params.value + 1);
        // A part without keys has no mean.
        if denominator > 0 {
            let share = denominator * exp(part_value(start + 8 * params.value) - largest);
            total += share;
            var values: array<f32, 8>;
            for (var i = 0u; i < 8; i++) {
                values[i] = part_value(start + 8 * chunk + i);
            }
            let low = vec4f(values[0], values[1], values[2], values[3]);
            sum += share * mat2x4f(low, vec4f(values[4], values[5], values[6], values[7]));
        }
    }
    return (1 / total) * sum;
}

// Eight neighbouring f32 in memory, as vectors of f32.

alias Wide = mat2x4f;

// Eight neighbouring values.
fn wide(stored: Wide) -> mat2x4f {
    return stored;
}

// The same on their way into memory.
fn wide_stored(values: mat2x4f) -> Wide {
    return values;
}

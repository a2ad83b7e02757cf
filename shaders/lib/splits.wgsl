// How workgroups share a context.
//
// Needs params.splits, the most of them, and params.split_keys, the fewest keys that are worth one.

// Splits of a context that are in use.
fn splits_of(context: u32) -> u32 {
    return clamp((context + params.split_keys - 1) / params.split_keys, 1, params.splits);
}

// The first key of a split, and behind the last split the context's end.
fn split_begin(split: u32, context: u32, splits: u32) -> u32 {
    return split * context / splits;
}

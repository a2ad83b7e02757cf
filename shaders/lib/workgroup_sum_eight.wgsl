// Sums over a workgroup of one subgroup, as software adapters have them.

// The sum of `value` over all lanes, returned to each of them.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
    return subgroupAdd(value);
}

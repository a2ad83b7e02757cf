use bytemuck::{Pod, Zeroable};

use super::Groups;
use super::pad::pad_for_shards;
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slots: u32,
    width: u32,
}

/// The gated hidden values of every slot's expert over the tokens grouped under it, for many tokens; not by matrix
/// units.
///
/// `x: [tokens, inner]`, `weight: [experts, 2 * width, inner]` → `[tokens, slots, width]`
#[track_caller]
pub fn expert_gate_up_grouped(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    groups: &Groups,
) -> Tensor {
    let [tokens, slots] = groups.entries.dims();
    let [max_tiles, _] = groups.tiles.dims();
    assert_eq!(x.dims(), [tokens, weight.columns]);
    assert!(groups.unit.is_none(), "tiles for {:?}", groups.unit);
    let width = weight.rows / 2;
    let padded = pad_for_shards(pass, x, weight);
    let y = pass.tensor(&[tokens, slots, width]);
    let blocks = groups.blocks;
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_gate_up_grouped"),
            constants: &blocks.constants(),
            params: Params {
                slots: slots as u32,
                width: width as u32,
            },
            inputs: &[x, &groups.entries, &groups.tiles],
            weight: Some(shard),
            outputs: &[&y],
            // Half of a block's rows are gates.
            workgroups: [(2 * width).div_ceil(blocks.rows), max_tiles, 1],
        });
    }
    y
}

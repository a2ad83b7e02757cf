use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

/// Entries of a tile: as many as `expert_matmul` takes at a time.
const TILE: usize = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    experts: u32,
    max_tiles: u32,
}

/// Which tokens each expert works on.
pub struct Groups {
    /// `token * slots + slot`, in order of the expert.
    pub entries: Tensor, // [tokens, slots] of u32
    /// Expert, first entry and number of entries of each tile, none in those left over.
    pub tiles: Tensor, // [max_tiles, 4] of u32
}

/// Choices to one list of tokens per expert, without leaving the GPU.
///
/// `choices: [tokens, slots]` of u32 below `experts`
#[track_caller]
pub fn group_by_expert(pass: &mut Pass, choices: &Tensor, experts: usize) -> Groups {
    let [tokens, slots] = choices.dims();
    assert!(
        experts <= 576,
        "{experts} experts are more than the kernel can count"
    );
    let max_tiles = experts.min(tokens * slots) + tokens * slots / TILE;
    let entries = pass.tensor(&[tokens, slots]);
    let tiles = pass.tensor(&[max_tiles, 4]);
    pass.dispatch(Dispatch {
        kernel: kernel!("group_by_expert"),
        constants: &[("TILE", TILE as u32)],
        params: Params {
            count: (tokens * slots) as u32,
            experts: experts as u32,
            max_tiles: max_tiles as u32,
        },
        inputs: &[choices],
        weight: None,
        outputs: &[&entries, &tiles],
        workgroups: [1, 1, 1],
    });
    Groups { entries, tiles }
}

use bytemuck::{Pod, Zeroable};

use super::matrix_operands::{matrix_tile, unit_of};
use super::{Blocks, row_lanes};
use crate::gpu::{Dispatch, MatrixUnit, Pass, Tensor, Tiers};
use crate::kernel;

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
    /// The matrix units that the tiles are made for, if they are made for any.
    pub unit: Option<MatrixUnit>,
    /// How the products of a tile are divided, if they are not made by matrix units.
    pub(super) blocks: Blocks,
}

impl Groups {
    /// Groups made elsewhere, in tiles of up to [`Self::tile`] entries.
    pub fn new(
        tiers: Tiers,
        experts: usize,
        [entries, tiles]: [Tensor; 2],
        unit: Option<MatrixUnit>,
    ) -> Self {
        let [tokens, slots] = entries.dims();
        Self {
            entries,
            tiles,
            unit,
            blocks: Blocks::of_experts(tiers, tokens * slots, experts),
        }
    }

    /// Most entries of a tile, where there are `entries` in all.
    pub fn tile(tiers: Tiers, entries: usize, experts: usize, unit: Option<MatrixUnit>) -> usize {
        let blocks = || Blocks::of_experts(tiers, entries, experts).tokens;
        unit.map_or_else(blocks, |unit| matrix_tile(unit)[0])
    }
}

/// Choices to one list of tokens per expert, without leaving the GPU.
///
/// `choices: [tokens, slots]` of u32 below `experts`
#[track_caller]
pub fn group_by_expert(pass: &mut Pass, choices: &Tensor, experts: usize) -> Groups {
    let unit = unit_of(pass.gpu.tiers);
    let [tokens, slots] = choices.dims();
    assert!(
        experts <= 576,
        "{experts} experts are more than the kernel can count"
    );
    let tile = Groups::tile(pass.gpu.tiers, tokens * slots, experts, unit);
    let max_tiles = experts.min(tokens * slots) + tokens * slots / tile;
    let entries = pass.tensor(&[tokens, slots]);
    let tiles = pass.tensor(&[max_tiles, 4]);
    pass.dispatch(Dispatch {
        kernel: kernel!("group_by_expert"),
        constants: &[
            ("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers)),
            ("TILE", tile as u32),
        ],
        params: Params {
            count: (tokens * slots) as u32,
            experts: experts as u32,
            max_tiles: max_tiles as u32,
        },
        inputs: &[choices],
        weight: None,
        outputs: &[&entries, &tiles],
        workgroups: [experts, 1, 1],
    });
    Groups::new(pass.gpu.tiers, experts, [entries, tiles], unit)
}

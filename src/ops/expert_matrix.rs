use bytemuck::{Pod, Zeroable};

use super::Groups;
use super::matrix_operands::{Operands, expert_operands, matrix_lanes, matrix_tile};
use crate::gpu::{Dispatch, MatrixUnit, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    low: u32,
    outer: u32,
    first_column: u32,
    width: u32,
}

/// [`expert_matmul`](super::expert_matmul) of one weight by matrix units, into the columns of `y` from
/// `first_column` on.
///
/// `x: [rows, inner]`, each of them shared by `repeat` entries; `y: [tokens, slots, width]`
#[track_caller]
pub(super) fn expert_matrix(
    pass: &mut Pass,
    (x, repeat): (&Tensor, usize),
    weight: &Weight,
    groups: &Groups,
    (y, first_column): (&Tensor, usize),
    unit: MatrixUnit,
) {
    let [max_tiles, _] = groups.tiles.dims();
    let [_, _, width] = y.dims();
    let Operands {
        values,
        scales,
        stride,
        low,
    } = expert_operands(pass, x, repeat, groups, weight, unit);
    let [_, tile_rows] = matrix_tile(unit);
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("expert_matrix"),
            constants: &matrix_lanes(pass.gpu.tiers),
            params: Params {
                stride,
                low,
                outer: weight.rows as u32,
                first_column: first_column as u32,
                width: width as u32,
            },
            inputs: &[&values, &scales, &groups.tiles],
            weight: Some(shard),
            outputs: &[y],
            workgroups: [max_tiles, weight.rows.div_ceil(tile_rows), 1],
        });
    }
}

use bytemuck::{Pod, Zeroable};

use super::{Groups, row_lanes};
use crate::gpu::{Dispatch, MatrixUnit, Pass, Shard, Tensor, Tiers, Weight};
use crate::kernel;

/// Columns of operands are a multiple of `UNIT_STEP`.
const STEP: usize = 16;

/// Rows of activations in the type that matrix units multiply.
pub struct Operands {
    /// The rows, with zeros behind each.
    pub values: Tensor, // [parts, padded_rows, stride] of operands, as words
    /// What the products of each row are multiplied with.
    pub scales: Tensor, // [rows], or [rows, 2] of u32 with each row's entry before its scale
    /// Values from one row to the next.
    pub stride: u32,
    /// Values from the first part of a number to the second.
    pub low: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
    stride: u32,
    low: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ExpertParams {
    repeat: u32,
    width: u32,
    stride: u32,
    low: u32,
}

/// Tokens, and rows of the weight, in a tile of `unit`s.
pub fn matrix_tile(unit: MatrixUnit) -> [usize; 2] {
    [4 * unit.size(), 8 * unit.size()]
}

/// The matrix units to multiply with. Software adapters compute with them lane by lane, which takes longer
/// than it does without.
pub(super) fn unit_of(tiers: Tiers) -> Option<MatrixUnit> {
    tiers.units().filter(|_| !tiers.software)
}

/// `WORKGROUP_SIZE` of kernels that multiply with matrix units: four subgroups of the widest kind.
pub fn matrix_lanes(tiers: Tiers) -> [(&'static str, u32); 1] {
    [("WORKGROUP_SIZE", 4 * tiers.widest_subgroup)]
}

/// The rows of `x` as operands of `unit` for `weight`.
///
/// `x: [rows, width]`
#[track_caller]
pub fn matrix_operands(pass: &mut Pass, x: &Tensor, weight: &Weight, unit: MatrixUnit) -> Operands {
    let [rows, width] = x.dims();
    let scales = pass.tensor(&[rows]);
    let operands = room(pass, scales, weight, unit);
    pass.dispatch(Dispatch {
        kernel: kernel!("matrix_operands"),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers))],
        params: Params {
            width: width as u32,
            stride: operands.stride,
            low: operands.low,
        },
        inputs: &[x],
        weight: None,
        outputs: &[&operands.values, &operands.scales],
        workgroups: [rows, 1, 1],
    });
    operands
}

/// The row of `x` of each entry, in the order of `groups`, as operands of `unit` for `weight`.
///
/// `x: [tokens, inner]` or `[tokens, slots, inner]`
#[track_caller]
pub(super) fn expert_operands(
    pass: &mut Pass,
    x: &Tensor,
    repeat: usize,
    groups: &Groups,
    weight: &Weight,
    unit: MatrixUnit,
) -> Operands {
    let [tokens, slots] = groups.entries.dims();
    let places = pass.tensor(&[tokens * slots, 2]);
    let operands = room(pass, places, weight, unit);
    pass.dispatch(Dispatch {
        kernel: kernel!("expert_operands"),
        constants: &[("WORKGROUP_SIZE", row_lanes(pass.gpu.tiers))],
        params: ExpertParams {
            repeat: repeat as u32,
            width: weight.columns as u32,
            stride: operands.stride,
            low: operands.low,
        },
        inputs: &[x, &groups.entries],
        weight: None,
        outputs: &[&operands.values, &operands.scales],
        workgroups: [slots, tokens, 1],
    });
    operands
}

/// Room for as many operands as there are `scales`, and for those that a tile reads behind the last one.
fn room(pass: &Pass, scales: Tensor, weight: &Weight, unit: MatrixUnit) -> Operands {
    let rows = scales.shape()[0];
    let padded = |shard: &Shard| shard.format.padded(weight.columns);
    let widest = weight.shards.iter().map(padded).max();
    let stride = widest.expect("a weight has rows").next_multiple_of(STEP);
    let [tokens, _] = matrix_tile(unit);
    // Two parts in f16 take as much as one in f32.
    Operands {
        values: pass.tensor(&[rows + tokens, stride]),
        scales,
        stride: stride as u32,
        low: ((rows + tokens) * stride) as u32,
    }
}

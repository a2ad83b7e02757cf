use bytemuck::{Pod, Zeroable};

use super::matmul::Target;
use super::matrix_operands::{Operands, matrix_lanes, matrix_operands, matrix_tile};
use crate::gpu::{Dispatch, MatrixUnit, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    low: u32,
    tokens: u32,
}

/// [`matmul`](super::matmul) by matrix units, as exact as in f32.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_matrix(pass: &mut Pass, x: &Tensor, weight: &Weight, unit: MatrixUnit) -> Tensor {
    let [tokens, _] = x.dims();
    let y = pass.tensor(&[tokens, weight.rows]);
    let target = Target {
        y: &y,
        added: false,
    };
    multiply_matrix(pass, x, weight, unit, target);
    y
}

#[track_caller]
pub(super) fn multiply_matrix(
    pass: &mut Pass,
    x: &Tensor,
    weight: &Weight,
    unit: MatrixUnit,
    target: Target,
) {
    let [tokens, inner] = x.dims();
    assert_eq!((inner, 1), (weight.columns, weight.count), "{x:?}");
    let Operands {
        values,
        scales,
        stride,
        low,
    } = matrix_operands(pass, x, weight, unit);
    let [tile_tokens, tile_rows] = matrix_tile(unit);
    let [lanes] = matrix_lanes(pass.gpu.tiers);
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_matrix"),
            constants: &[lanes, target.constant()],
            params: Params {
                stride,
                low,
                tokens: tokens as u32,
            },
            inputs: &[&values, &scales],
            weight: Some(shard),
            outputs: &[target.y],
            workgroups: [
                tokens.div_ceil(tile_tokens),
                shard.rows.div_ceil(tile_rows),
                1,
            ],
        });
    }
}

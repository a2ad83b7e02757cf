use bytemuck::{Pod, Zeroable};

use super::matmul_matrix::multiply_matrix;
use super::matrix_operands::unit_of;
use super::pad::pad_for_shards;
use super::{Blocks, Input, dot_groups, lane_groups, named_lanes};
use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

/// Most tokens of [`matmul_few_rows`].
const FEW_ROWS: usize = 8;
/// Fewest tokens that fill enough of a tile of matrix units.
const MATRIX_TOKENS: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct InputParams {
    width: u32,
    epsilon: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    tokens: u32,
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) y: &'a Tensor,
    /// Whether it is added to what is there.
    pub(super) added: bool,
}

impl Target<'_> {
    /// The kernels' `ADDED`.
    pub(super) fn constant(self) -> (&'static str, u32) {
        ("ADDED", u32::from(self.added))
    }
}

type Multiply = fn(&mut Pass, &Input, &Weight, Target);

/// `x * transpose(weight)`, by the kernel that suits the number of tokens.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul(pass: &mut Pass, x: impl Into<Input>, weight: &Weight) -> Tensor {
    let x = x.into();
    write(pass, &x, weight, suitable(pass, &x))
}

/// `sum += x * transpose(weight)`, by the kernel that suits the number of tokens.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]`, `sum: [tokens, outer]`
#[track_caller]
pub fn add_matmul(pass: &mut Pass, x: impl Into<Input>, weight: &Weight, sum: &Tensor) {
    let x = x.into();
    assert_eq!(sum.dims(), [x.dims()[0], weight.rows]);
    let target = Target {
        y: sum,
        added: true,
    };
    suitable(pass, &x)(pass, &x, weight, target);
}

/// [`matmul`] that reads the weight once per token.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_few(pass: &mut Pass, x: &Input, weight: &Weight) -> Tensor {
    write(pass, x, weight, multiply_few)
}

/// [`matmul`] that reads the weight once for all tokens, of which there are at most 8.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_few_rows(pass: &mut Pass, x: &Input, weight: &Weight) -> Tensor {
    write(pass, x, weight, multiply_few_rows)
}

/// [`matmul`] that reads the weight once per block of tokens.
///
/// `x: [tokens, inner]`, `weight: [outer, inner]` → `[tokens, outer]`
#[track_caller]
pub fn matmul_blocked(pass: &mut Pass, x: &Input, weight: &Weight) -> Tensor {
    write(pass, x, weight, multiply_blocked)
}

fn suitable(pass: &Pass, x: &Input) -> Multiply {
    let [tokens, inner] = x.dims();
    match tokens {
        _ if tokens <= Input::few(pass.gpu.tiers, inner) => multiply_few,
        MATRIX_TOKENS.. if unit_of(pass.gpu.tiers).is_some() => multiply_by_units,
        // In software a block of eight tokens is no slower, and its lanes need no sums.
        2..=FEW_ROWS if !pass.gpu.tiers.software => multiply_few_rows,
        _ => multiply_blocked,
    }
}

#[track_caller]
fn write(pass: &mut Pass, x: &Input, weight: &Weight, multiply: Multiply) -> Tensor {
    let y = pass.tensor(&[x.dims()[0], weight.rows]);
    let target = Target {
        y: &y,
        added: false,
    };
    multiply(pass, x, weight, target);
    y
}

fn multiply_few(pass: &mut Pass, x: &Input, weight: &Weight, target: Target) {
    let [tokens, inner] = x.dims();
    assert_eq!((inner, 1), (weight.columns, weight.count), "{:?}", x.x);
    let kernel = kernel!("matmul");
    for (shard, operands) in weight.shards.iter().zip(x.operands(pass, weight)) {
        let candidates = lane_groups(pass.gpu.tiers).into_iter().map(named_lanes);
        let candidates = candidates.map(Vec::from).collect();
        let shape = [shard.rows, weight.columns];
        let mut constants = pass.choose(&kernel, Some(shard.format), &shape, candidates);
        let groups = dot_groups(&constants, shard.rows, 4);
        constants.extend([x.normed(), target.constant()]);
        pass.dispatch(Dispatch {
            kernel,
            constants: &constants,
            params: InputParams {
                width: inner as u32,
                epsilon: x.epsilon(),
            },
            inputs: &[&operands.x, &operands.gain],
            weight: Some(shard),
            outputs: &[target.y],
            workgroups: [groups, tokens, 1],
        });
    }
}

fn multiply_few_rows(pass: &mut Pass, x: &Input, weight: &Weight, target: Target) {
    let (padded, tokens) = rows(pass, x, weight);
    assert!(tokens <= FEW_ROWS, "{:?}", x.x);
    let most = ("TOKENS", if tokens <= 4 { 4 } else { 8 });
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_few_rows"),
            constants: &[most, target.constant()],
            params: Params {
                tokens: tokens as u32,
            },
            inputs: &[x],
            weight: Some(shard),
            outputs: &[target.y],
            workgroups: [shard.rows.div_ceil(8), 1, 1],
        });
    }
}

fn multiply_blocked(pass: &mut Pass, x: &Input, weight: &Weight, target: Target) {
    let (padded, tokens) = rows(pass, x, weight);
    let blocks = Blocks::of_tokens(pass.gpu.tiers, tokens);
    let [lanes, height] = blocks.constants();
    for (shard, x) in weight.shards.iter().zip(&padded) {
        pass.dispatch(Dispatch {
            kernel: kernel!("matmul_blocked"),
            constants: &[lanes, height, target.constant()],
            params: Params {
                tokens: tokens as u32,
            },
            inputs: &[x],
            weight: Some(shard),
            outputs: &[target.y],
            workgroups: [
                shard.rows.div_ceil(blocks.rows),
                tokens.div_ceil(blocks.tokens),
                1,
            ],
        });
    }
}

fn multiply_by_units(pass: &mut Pass, x: &Input, weight: &Weight, target: Target) {
    let rows = x.rows(pass);
    let unit = unit_of(pass.gpu.tiers).expect("the device was seen to have units");
    multiply_matrix(pass, &rows, weight, unit, target);
}

/// The rows of `x` for each shard, and how many they are.
fn rows(pass: &mut Pass, x: &Input, weight: &Weight) -> (Vec<Tensor>, usize) {
    let [tokens, inner] = x.dims();
    assert_eq!((inner, 1), (weight.columns, weight.count), "{:?}", x.x);
    let rows = x.rows(pass);
    (pad_for_shards(pass, &rows, weight), tokens)
}

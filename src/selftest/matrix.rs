//! Products by matrix units, and the operands that they are made of.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::trial::{Expected, Sizes, Trial, noise};
use crate::gpu::{Dispatch, Kernel, MatrixUnit, Pass, Tensor};
use crate::kernel;
use crate::ops;
use crate::reference;

/// The units of a device that has some.
pub(super) fn unit(pass: &Pass) -> MatrixUnit {
    pass.gpu.tiers.units().expect("a device with matrix units")
}

/// Whole numbers from -64 to 64, whose sums are exact in any order.
fn coarse(count: usize, seed: u64) -> Vec<f32> {
    let whole = |value: f32| (64.0 * value).round();
    noise(count, seed).into_iter().map(whole).collect()
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CheckParams {
    stride: u32,
    low: u32,
    tokens: u32,
    chunks: u32,
    outer: u32,
}

/// Several tiles with ragged ends, of numbers that are one part and of some that are two.
pub(super) fn units(pass: &mut Pass, _: &Sizes) -> Trial {
    const TOKENS: usize = 69;
    const OUTER: usize = 135;
    const INNER: usize = 104;
    const STRIDE: usize = 112;
    const ROWS: usize = TOKENS + 64;
    let unit = unit(pass);
    let x = noise(TOKENS * INNER, 71);
    let weight = noise(OUTER * INNER, 72);
    // Behind the last row, which a tile reads and of which nothing may come.
    let mut padded = vec![f32::NAN; ROWS * STRIDE];
    for (row, padded) in x.chunks(INNER).zip(padded.chunks_mut(STRIDE)) {
        padded[..INNER].copy_from_slice(row);
        padded[INNER..].fill(0.0);
    }
    let operands = Tensor::upload(pass.gpu, &[ROWS, STRIDE], &parts(&padded, unit));
    let rows = Tensor::upload(pass.gpu, &[OUTER, INNER], &weight);
    let y = pass.tensor(&[TOKENS, OUTER]);
    let [tile_tokens, tile_rows] = ops::matrix_tile(unit);
    pass.dispatch(Dispatch {
        kernel: kernel!("matrix_check"),
        constants: &ops::matrix_lanes(pass.gpu.tiers),
        params: CheckParams {
            stride: STRIDE as u32,
            low: (ROWS * STRIDE) as u32,
            tokens: TOKENS as u32,
            chunks: (INNER / 8) as u32,
            outer: OUTER as u32,
        },
        inputs: &[&operands, &rows],
        weight: None,
        outputs: &[&y],
        workgroups: [TOKENS.div_ceil(tile_tokens), OUTER.div_ceil(tile_rows), 1],
    });
    let expected = reference::matmul(&x, &weight, INNER);
    Trial {
        operations: (2 * TOKENS * OUTER * INNER) as u64,
        ..Trial::of(&[&operands, &rows], y, expected)
    }
}

/// The operands that `values` are, as words: all first parts, then all second ones, if there are any.
fn parts(values: &[f32], unit: MatrixUnit) -> Vec<u32> {
    if !unit.is_f16() {
        return values.iter().map(|value| value.to_bits()).collect();
    }
    let first_bits = |value: f32| f32::from_bits(value.to_bits() & 0xffff_e000);
    let high = values.iter().map(|&value| f16::from_f32(first_bits(value)));
    let low = values
        .iter()
        .map(|&value| f16::from_f32(value - first_bits(value)));
    bytemuck::pod_collect_to_vec(&high.chain(low).collect::<Vec<_>>())
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OperandParams {
    width: u32,
    stride: u32,
    low: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ExpertOperandParams {
    repeat: u32,
    width: u32,
    stride: u32,
    low: u32,
}

const ROWS: usize = 5;
const WIDTH: usize = 100;
const STRIDE: usize = 128;

/// Rows that are huge, ordinary, tiny and zero.
fn rows() -> Vec<f32> {
    let magnitudes = [1.0, 2f32.powi(100), 2f32.powi(-90), 0.0, 2f32.powi(-7)];
    let values = coarse(ROWS * WIDTH, 73);
    let values = values.iter().enumerate();
    values
        .map(|(i, value)| value * magnitudes[i / WIDTH])
        .collect()
}

/// The rows of activations, one after the other.
pub(super) fn operands(pass: &mut Pass, _: &Sizes) -> Trial {
    let x = rows();
    let inputs = [Tensor::upload(pass.gpu, &[ROWS, WIDTH], &x)];
    let params = OperandParams {
        width: WIDTH as u32,
        stride: STRIDE as u32,
        low: (ROWS * STRIDE) as u32,
    };
    operand_trial(pass, kernel!("matrix_operands"), params, &inputs, &x, None)
}

/// The rows of activations in the order of their experts, two entries to a row.
pub(super) fn expert_operands(pass: &mut Pass, _: &Sizes) -> Trial {
    let x = rows();
    let entries = [3u32, 9, 0, 8, 1, 2, 7, 5, 4, 6];
    let inputs = [
        Tensor::upload(pass.gpu, &[ROWS, WIDTH], &x),
        Tensor::upload(pass.gpu, &[ROWS, 2], &entries),
    ];
    let params = ExpertOperandParams {
        repeat: 2,
        width: WIDTH as u32,
        stride: STRIDE as u32,
        low: (2 * ROWS * STRIDE) as u32,
    };
    let row = |&entry: &u32| &x[entry as usize / 2 * WIDTH..][..WIDTH];
    let ordered: Vec<f32> = entries.iter().flat_map(row).copied().collect();
    operand_trial(
        pass,
        kernel!("expert_operands"),
        params,
        &inputs,
        &ordered,
        Some(&entries),
    )
}

/// `rows` as operands and their scales, exactly: all of them are whole numbers times a power of two.
fn operand_trial<P: Pod>(
    pass: &mut Pass,
    kernel: Kernel,
    params: P,
    inputs: &[Tensor],
    rows: &[f32],
    entries: Option<&[u32]>,
) -> Trial {
    let unit = unit(pass);
    let count = rows.len() / WIDTH;
    let values = pass.tensor(&[count, STRIDE]);
    let scales = match entries {
        Some(_) => pass.tensor(&[count, 2]),
        None => pass.tensor(&[count]),
    };
    let inputs: Vec<_> = inputs.iter().collect();
    pass.dispatch(Dispatch {
        kernel,
        constants: &[("WORKGROUP_SIZE", 64)],
        params,
        inputs: &inputs,
        weight: None,
        outputs: &[&values, &scales],
        workgroups: [count, 1, 1],
    });
    let (mut expected_values, mut expected_scales) = (Vec::new(), Vec::new());
    for (index, row) in rows.chunks(WIDTH).enumerate() {
        let sum = row.iter().map(|value| value.abs()).sum::<f32>();
        let exponent = sum.max(2f32.powi(-100)).log2().floor() as i32;
        expected_scales.extend(entries.map(|entries| entries[index]));
        expected_scales.push(2f32.powi(exponent - 14).to_bits());
        expected_values.extend(row.iter().map(|value| value * 2f32.powi(14 - exponent)));
        expected_values.extend([0.0; STRIDE - WIDTH]);
    }
    let words = parts(&expected_values, unit);
    let bytes = inputs
        .iter()
        .copied()
        .chain([&values, &scales])
        .map(Tensor::bytes);
    Trial {
        format: None,
        tolerance: 0.0,
        bytes: bytes.sum(),
        operations: 0,
        results: vec![
            (values, Expected::Integers(words)),
            (scales, Expected::Integers(expected_scales)),
        ],
    }
}

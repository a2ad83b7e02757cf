//! Products by matrix units, where the device has some: as exact as those without.

use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Gpu, MatrixUnit, Pass, Tensor};
use tiefsee::ops;

use crate::common::{assert_near, floats, layouts, limit, noise, open, run_f32, stored, upload};
use crate::experts::{Case, check_expert_matmul};
use crate::{ROUNDING, reference};

/// Tokens, outer, inner: tiles of both sizes with ragged ends, and steps.
const SHAPES: [[usize; 3]; 6] = [
    [1, 1, 8],
    [3, 129, 80],
    [33, 65, 36],
    [65, 130, 100],
    [29, 33, 264],
    [64, 128, 64],
];

/// Whether the device has matrix units; those that it has are the only ones that can be tested.
fn unit(gpu: &Gpu) -> Option<MatrixUnit> {
    gpu.tiers.matrix
}

#[test]
fn matmul_matrix() {
    for gpu in layouts() {
        for &format in formats::ALL {
            for shape in SHAPES {
                check_matmul_matrix(&gpu, format, shape, 1.0);
            }
        }
    }
}

/// Activations that no f16 holds, beside ordinary ones and ones that are nearly nothing.
#[test]
fn activations_of_any_size() {
    let gpu = open();
    for magnitude in [1e-30, 1e-6, 1e5, 1e9, 1e30] {
        check_matmul_matrix(&gpu, &formats::F16, [35, 65, 100], magnitude);
    }
}

/// Every third row of `x` is of another magnitude; every row is as exact as it would be alone.
fn check_matmul_matrix(
    gpu: &Gpu,
    format: &'static Format,
    [tokens, outer, inner]: [usize; 3],
    magnitude: f32,
) {
    let Some(unit) = unit(gpu) else { return };
    let mut x = noise(tokens * inner, 130);
    for row in x.chunks_mut(inner).step_by(3) {
        for value in row {
            *value *= magnitude;
        }
    }
    let weight = noise(outer * inner, 131);
    let actual = run_f32(gpu, |pass| {
        let weight = upload(gpu, format, [1, outer, inner], &weight);
        let x = Tensor::upload(gpu, &[tokens, inner], &x);
        ops::matmul_matrix(pass, &x, &weight, unit)
    });
    let expected = reference::matmul(&x, &stored(format, &weight, inner), inner);
    let rows = actual.chunks(outer).zip(expected.chunks(outer));
    for (token, (actual, expected)) in rows.enumerate() {
        let what = format!(
            "{} token {token} of [{tokens}, {outer}, {inner}] times {magnitude}",
            format.name
        );
        // A row of a single value has no larger one beside it to measure by.
        let tolerance = if outer == 1 {
            10.0 * ROUNDING
        } else {
            ROUNDING
        };
        assert_near(actual, expected, tolerance, &what);
    }
}

#[test]
fn rows_over_several_shards() {
    let (tokens, outer, inner) = (19, 129, 60);
    let (weight, x) = (noise(outer * inner, 132), noise(tokens * inner, 133));
    let mut gpu = open();
    let Some(unit) = unit(&gpu) else { return };
    limit(&mut gpu, 7 * 2 * formats::F16.padded(inner));
    let actual = run_f32(&gpu, |pass| {
        let weight = upload(&gpu, &formats::F16, [1, outer, inner], &weight);
        assert!(weight.shards.len() > 1);
        let x = Tensor::upload(&gpu, &[tokens, inner], &x);
        ops::matmul_matrix(pass, &x, &weight, unit)
    });
    let expected = reference::matmul(&x, &stored(&formats::F16, &weight, inner), inner);
    assert_near(&actual, &expected, ROUNDING, "shards of 7 rows");
}

#[test]
fn what_is_no_number_stays_with_its_token() {
    let gpu = open();
    let Some(unit) = unit(&gpu) else { return };
    let (tokens, outer, inner) = (35, 33, 60);
    for (broken, value) in [(0, f32::NAN), (17, f32::INFINITY), (34, f32::NAN)] {
        let mut x = noise(tokens * inner, 134);
        x[broken * inner + 7] = value;
        let actual = run_f32(&gpu, |pass| {
            let weight = noise(outer * inner, 135);
            let weight = upload(&gpu, &formats::Q8_0, [1, outer, inner], &weight);
            let x = Tensor::upload(&gpu, &[tokens, inner], &x);
            ops::matmul_matrix(pass, &x, &weight, unit)
        });
        for (token, row) in actual.chunks(outer).enumerate() {
            let finite = row.iter().all(|value| value.is_finite());
            assert_eq!(finite, token != broken, "token {token}");
        }
    }
}

#[test]
fn expert_matrix() {
    for gpu in layouts() {
        for &format in formats::ALL {
            for case in [
                Case::new(29, 2, 18, 34, 36),
                Case::new(90, 3, 4, 70, 100),
                Case::all_to(4, 67, 5, 130, 40),
            ] {
                check_expert_matrix(&gpu, format, &case);
            }
        }
    }
}

/// The same as without, in tiles as matrix units take them.
fn check_expert_matrix(gpu: &Gpu, format: &'static Format, case: &Case) {
    if gpu.tiers.matrix.is_none() || gpu.tiers.software {
        return;
    }
    let mut pass = Pass::new(gpu);
    let choices = Tensor::upload(gpu, &[1, case.choices.len()], &case.choices);
    let groups = ops::group_by_expert(&mut pass, &choices, case.experts);
    assert_eq!(groups.unit, gpu.tiers.matrix);
    check_expert_matmul(gpu, format, case);
}

#[test]
fn matrix_operands() {
    let gpu = open();
    for shape in [[1, 8], [5, 100], [40, 36]] {
        check_matrix_operands(&gpu, shape);
    }
}

/// Both parts of a number together are the number, and behind the last one are zeros.
fn check_matrix_operands(gpu: &Gpu, [rows, width]: [usize; 2]) {
    let Some(unit) = unit(gpu) else { return };
    let x = noise(rows * width, 136);
    let mut pass = Pass::new(gpu);
    let weight = upload(gpu, &formats::F32, [1, 1, width], &vec![1.0; width]);
    let operands = ops::matrix_operands(
        &mut pass,
        &Tensor::upload(gpu, &[rows, width], &x),
        &weight,
        unit,
    );
    let (stride, low) = (operands.stride as usize, operands.low as usize);
    let recording = pass.finish(vec![operands.values, operands.scales]);
    let results = pollster::block_on(recording.submit(gpu).read(gpu)).expect("a run");
    let values: Vec<f32> = if unit.is_f16() {
        let halves: Vec<half::f16> = bytemuck::pod_collect_to_vec(&results[0]);
        let whole = halves[..low].iter().zip(&halves[low..]);
        whole
            .map(|(high, low)| high.to_f32() + low.to_f32())
            .collect()
    } else {
        floats(&results[0])
    };
    for (row, scale) in floats(&results[1]).into_iter().enumerate() {
        let values = values[row * stride..][..stride].iter();
        let values: Vec<f32> = values.map(|value| value * scale).collect();
        let expected = &x[row * width..][..width];
        assert_near(
            &values[..width],
            expected,
            1e-6,
            &format!("row {row} of {rows}"),
        );
        assert!(
            values[width..].iter().all(|&value| value == 0.0),
            "row {row}"
        );
    }
}

/// Where matrix units are used, few tokens still go without: a tile would be nearly empty.
#[test]
fn many_tokens_use_matrix_units_on_hardware_only() {
    for gpu in layouts() {
        let used = gpu.tiers.matrix.is_some() && !gpu.tiers.software;
        for (tokens, many) in [(1, false), (15, false), (16, true), (40, true)] {
            let mut pass = Pass::new(&gpu);
            let weight = upload(&gpu, &formats::F32, [1, 8, 16], &[0.5; 128]);
            let x = Tensor::upload(&gpu, &[tokens, 16], &vec![1f32; 16 * tokens]);
            let y = ops::matmul(&mut pass, &x, &weight);
            let recording = pass.finish(vec![y]);
            let by_units = recording.kernels().any(|name| name == "matmul_matrix");
            assert_eq!(by_units, used && many, "{tokens} tokens, {:?}", gpu.tiers);
        }
    }
}

//! Weights that need several bindings.

use tiefsee::Error;
use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Gpu, Pass, Tensor, Weight, WeightWriter};
use tiefsee::ops::{self, HeadSlices, Input};

use crate::common::{
    assert_near, formats_of, limit, limited, noise, open, run_f32, stored, upload,
};
use crate::experts::{
    Case, check_expert_down, check_expert_gate_up, check_expert_gate_up_grouped,
    check_expert_matmul,
};
use crate::matmul::expected_heads;
use crate::{ROUNDING, reference};

/// The bytes of `rows` rows in the widest plane.
fn plane_bytes(format: &Format, rows: usize, columns: usize) -> usize {
    let blocks = format.padded(columns) / format.block;
    rows * blocks * format.planes.iter().max().unwrap()
}

#[test]
fn rows_over_several_shards() {
    let (outer, inner) = (129, 60);
    let (weight, x) = (noise(outer * inner, 70), noise(5 * inner, 71));
    let mut gpu = open();
    for format in formats_of(0) {
        // Shards of one row, of a few that no tile divides, and of all but one.
        for rows in [1, 7, 128] {
            limit(&mut gpu, plane_bytes(format, rows, inner));
            let what = format!("{} in shards of {rows} rows", format.name);
            let weight_on = upload(&gpu, format, [1, outer, inner], &weight);
            assert_eq!(weight_on.shards.len(), outer.div_ceil(rows), "{what}");
            let expected = reference::matmul(&x, &stored(format, &weight, inner), inner);
            for matmul in [ops::matmul_few, ops::matmul_blocked] {
                let actual = product(&gpu, matmul, &x, &weight_on);
                assert_near(&actual, &expected, ROUNDING, &what);
            }
            let ids = [0, 6, 7, 8, 127, 128, 1];
            let actual = run_f32(&gpu, |pass| {
                ops::embedding(pass, &Tensor::upload(&gpu, &[ids.len()], &ids), &weight_on)
            });
            let table = stored(format, &weight, inner);
            assert_eq!(actual, reference::embedding(&table, inner, &ids), "{what}");
        }
    }
}

fn product(
    gpu: &Gpu,
    matmul: fn(&mut Pass, &Input, &Weight) -> Tensor,
    x: &[f32],
    weight: &Weight,
) -> Vec<f32> {
    let tokens = x.len() / weight.columns;
    run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[tokens, weight.columns], x);
        matmul(pass, &Input::from(&x), weight)
    })
}

#[test]
fn heads_over_several_shards() {
    let (tokens, heads, sizes) = (2, 5, [12, 28, 6, 36]);
    let [inner, outer, tail, width] = sizes;
    let x = noise(tokens * heads * (inner + tail), 72);
    let weight = noise(heads * outer * inner, 73);
    let mut gpu = open();
    for format in formats_of(0) {
        for heads_each in [1, 2] {
            limit(&mut gpu, plane_bytes(format, heads_each * outer, inner));
            let actual = run_f32(&gpu, |pass| {
                let weight = upload(&gpu, format, [heads, outer, inner], &weight);
                assert_eq!(weight.shards.len(), heads.div_ceil(heads_each));
                let x = Tensor::upload(&gpu, &[tokens, heads, inner + tail], &x);
                ops::matmul_heads(pass, &x, &weight, HeadSlices { inner, width })
            });
            let expected = expected_heads(&x, &stored(format, &weight, inner), heads, sizes);
            let what = format!("{} in shards of {heads_each} heads", format.name);
            assert_near(&actual, &expected, ROUNDING, &what);
        }
    }
}

#[test]
fn experts_over_several_shards() {
    let mut gpu = open();
    for format in formats_of(0) {
        for (case, experts_each) in [
            (Case::new(3, 4, 18, 34, 36), 5),
            (Case::new(9, 2, 7, 6, 100), 1),
            // Nobody goes to an expert of the first shard, or of the last one.
            (
                Case {
                    choices: vec![5, 6, 7, 5],
                    ..Case::new(2, 2, 12, 10, 60)
                },
                4,
            ),
        ] {
            limit(
                &mut gpu,
                plane_bytes(format, experts_each * case.outer, case.inner),
            );
            check_expert_gate_up(&gpu, format, &case);
            check_expert_gate_up_grouped(&gpu, format, &case);
            check_expert_down(&gpu, format, &case);
            check_expert_matmul(&gpu, format, &case);
        }
    }
}

#[test]
fn what_no_shard_can_hold_is_refused() {
    let gpu = limited(1000);
    let open = |dims| pollster::block_on(WeightWriter::new(&gpu, &formats::F32, dims)).map(|_| ());
    // A row of 256 columns, and a matrix of a stack.
    for dims in [[1, 3, 256], [2, 4, 64]] {
        let error = open(dims).unwrap_err();
        assert!(matches!(error, Error::DoesNotFit(_)), "{error:?}");
    }
    open([1, 4, 64]).expect("rows of one matrix can be parted");
}

/// 137.5 MiB of f32, where WebGPU promises bindings of 128 MiB.
#[test]
fn a_weight_beyond_the_smallest_limit() {
    let (outer, inner) = (1100, 32_768);
    let mut gpu = open();
    let limit_of_all = 128 << 20;
    if gpu.binding_limit > limit_of_all {
        limit(&mut gpu, limit_of_all as usize);
    }
    let x = noise(inner, 74);
    let mut expected = Vec::with_capacity(outer);
    let weight = pollster::block_on(async {
        let mut writer = WeightWriter::new(&gpu, &formats::F32, [1, outer, inner])
            .await
            .unwrap();
        for seed in 0..11 {
            let rows = noise(outer / 11 * inner, 80 + seed);
            expected.extend(reference::matmul(&x, &rows, inner));
            writer.write(&rows).await.unwrap();
        }
        writer.finish()
    });
    assert_eq!(weight.shards.len(), 2);
    assert_eq!(weight.bytes(), (4 * outer * inner) as u64);
    let actual = product(&gpu, ops::matmul_few, &x, &weight);
    // Sums of so many terms are rounded more often.
    assert_near(&actual, &expected, 10.0 * ROUNDING, "1100 x 32768");
}

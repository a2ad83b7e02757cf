//! Ops that work on rows alone.

use tiefsee::gpu::{Gpu, Tensor};
use tiefsee::ops::{self, Columns, NOT_FINITE, UNKNOWN_ID};

use crate::common::{assert_near, integers, layouts, noise, open, run, run_f32};
use crate::{EXPONENTIAL, ROUNDING, reference};

#[test]
fn rms_norm() {
    for gpu in layouts() {
        for (rows, stride, offset, width) in [
            (1, 256, 0, 256),
            (1, 1, 0, 1),
            (3, 7, 0, 7),
            (5, 1000, 0, 1000),
            (4, 70, 36, 28),
            (29, 65, 64, 1),
            (2, 129, 1, 128),
        ] {
            check_rms_norm(&gpu, rows, stride, Columns { offset, width });
        }
    }
}

fn check_rms_norm(gpu: &Gpu, rows: usize, stride: usize, columns: Columns) {
    let Columns { offset, width } = columns;
    let what = format!("rms_norm of {rows} x {stride}, {columns:?}");
    let (mut x, gain) = (noise(rows * stride, 1), noise(width, 2));
    // A row of zeros has no root mean square; a huge value must not leak into other rows.
    x[(rows - 1) * stride..].fill(0.0);
    x[offset] = 3e4;
    let actual = run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[rows, stride], &x);
        let gain = Tensor::upload(gpu, &[width], &gain);
        ops::rms_norm(pass, &x, columns, &gain, 1e-6)
    });
    let sliced: Vec<f32> = x
        .chunks(stride)
        .flat_map(|row| &row[offset..][..width])
        .copied()
        .collect();
    let expected = reference::rms_norm(&sliced, &gain, 1e-6);
    for (actual, expected) in actual.chunks(width).zip(expected.chunks(width)) {
        assert_near(actual, expected, ROUNDING, &what);
    }
}

#[test]
fn swiglu() {
    let gpu = open();
    for (rows, width) in [(1, 1), (1, 64), (3, 20), (29, 100), (5, 129)] {
        check_swiglu(&gpu, rows, width, 1.0);
    }
    // Gates far below zero, where exp(-gate) is infinite.
    for magnitude in [50.0, 200.0, 1e6, 1e30] {
        check_swiglu(&gpu, 2, 36, magnitude);
    }
    // More workgroups than one dimension holds.
    check_swiglu(&gpu, 4200, 1001, 1.0);
}

fn check_swiglu(gpu: &Gpu, rows: usize, width: usize, magnitude: f32) {
    let mut x = noise(rows * 2 * width, 6);
    for row in x.chunks_mut(2 * width) {
        row[..width].iter_mut().for_each(|gate| *gate *= magnitude);
    }
    let actual = run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[rows, 2, width], &x).reshape(&[rows, 2 * width]);
        ops::swiglu(pass, &x)
    });
    let (gate, up): (Vec<&[f32]>, Vec<&[f32]>) =
        x.chunks(2 * width).map(|row| row.split_at(width)).unzip();
    let expected = reference::swiglu(&gate.concat(), &up.concat());
    let what = format!("swiglu of {rows} x {width}, gates up to {magnitude}");
    assert_near(&actual, &expected, EXPONENTIAL, &what);
}

#[test]
fn pad() {
    let gpu = open();
    for (shape, padded) in [
        (&[1, 1][..], 8),
        (&[3, 36], 64),
        (&[29, 100], 128),
        (&[2, 5, 60], 64),
        (&[4, 64], 65),
    ] {
        check_pad(&gpu, shape, padded);
    }
}

fn check_pad(gpu: &Gpu, shape: &[usize], padded: usize) {
    let width = *shape.last().unwrap();
    let x = noise(shape.iter().product(), 7);
    let actual = run_f32(gpu, |pass| {
        // What the result's buffer held before must not show.
        let garbage = Tensor::upload(gpu, &[1, 4096], &[f32::MAX; 4096]);
        let rows = Tensor::upload(gpu, &[1], &[0u32]);
        drop(ops::gather(pass, &garbage, &rows));
        ops::pad(pass, &Tensor::upload(gpu, shape, &x), padded)
    });
    let row = |row: &[f32]| [row, &vec![0.0; padded - width]].concat();
    let expected: Vec<f32> = x.chunks(width).flat_map(row).collect();
    assert_eq!(actual, expected, "{shape:?} to {padded}");
}

#[test]
fn pad_of_nothing_launches_nothing() {
    let gpu = open();
    let mut pass = tiefsee::gpu::Pass::new(&gpu);
    let x = Tensor::upload(&gpu, &[2, 8], &noise(16, 8));
    let padded = ops::pad(&mut pass, &x, 8);
    assert_eq!(pass.finish(vec![padded]).kernels().count(), 0);
}

#[test]
fn gather() {
    let gpu = open();
    for (tokens, width, rows) in [
        (1, 1, vec![0]),
        (5, 80, vec![4]),
        (29, 129, vec![28, 0, 0, 17]),
        (3, 64, vec![2, 1, 0, 2, 1, 0, 1]),
    ] {
        check_gather(&gpu, tokens, width, &rows);
    }
}

fn check_gather(gpu: &Gpu, tokens: usize, width: usize, rows: &[u32]) {
    let x = noise(tokens * width, 9);
    let actual = run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[tokens, width], &x);
        let rows = Tensor::upload(gpu, &[rows.len()], rows);
        ops::gather(pass, &x, &rows)
    });
    let expected = reference::embedding(&x, width, rows);
    assert_eq!(actual, expected, "rows {rows:?} of {tokens} x {width}");
}

#[test]
fn fill_ids() {
    let gpu = open();
    check_fill_ids(&gpu, 1, &[0]);
    check_fill_ids(&gpu, 7, &[6, 2, 3]);
    check_fill_ids(&gpu, 200, &(0..130).collect::<Vec<_>>());
}

fn check_fill_ids(gpu: &Gpu, tokens: u32, rows: &[u32]) {
    let id = |id: u32| {
        if id.is_multiple_of(2) { UNKNOWN_ID } else { id }
    };
    let before: Vec<u32> = (0..tokens).map(id).collect();
    let chosen: Vec<u32> = rows.iter().map(|row| 1000 + row).collect();
    let filled = run(gpu, |pass| {
        let ids = Tensor::upload(gpu, &[before.len()], &before);
        let [rows, chosen] =
            [rows, &chosen].map(|values| Tensor::upload(gpu, &[values.len()], values));
        ops::fill_ids(pass, &ids, &rows, &chosen);
        vec![ids]
    });
    let mut expected = before;
    for (&row, &chosen) in rows.iter().zip(&chosen) {
        if row.is_multiple_of(2) {
            expected[row as usize] = chosen;
        }
    }
    assert_eq!(integers(&filled[0]), expected, "{rows:?} of {tokens}");
}

#[test]
fn argmax() {
    for gpu in layouts() {
        for (rows, width) in [(1, 1), (1, 2), (3, 255), (29, 257), (2, 1000), (5, 33)] {
            check_argmax(&gpu, &noise(rows * width, 10), width);
        }
        // Equals, wherever they are: the first one wins.
        check_argmax(&gpu, &[0.0; 600], 300);
        check_argmax(&gpu, &[-0.0, 0.0, -0.0, 0.0], 4);
        for (first, second) in [(0, 1), (0, 299), (255, 256), (7, 263), (298, 299), (256, 0)] {
            let mut scores = vec![-5.0; 300];
            scores[first] = 2.5;
            scores[second] = 2.5;
            check_argmax(&gpu, &scores, 300);
        }
        // Nothing positive, the ends of the range, and the largest value in the last place.
        check_argmax(&gpu, &[-1e30, -2e30, -1.5e30], 3);
        check_argmax(&gpu, &[f32::MIN, f32::MIN, f32::MIN.next_up()], 3);
        check_argmax(&gpu, &[f32::MIN; 5], 5);
        check_argmax(&gpu, &[f32::MIN, f32::MAX, 0.0], 3);
        check_argmax(
            &gpu,
            &(0..129_280).map(|i| i as f32).collect::<Vec<_>>(),
            129_280,
        );
    }
}

fn check_argmax(gpu: &Gpu, scores: &[f32], width: usize) {
    let expected: Vec<u32> = scores
        .chunks(width)
        .map(|row| reference::argmax(row) as u32)
        .collect();
    assert_eq!(gpu_argmax(gpu, scores, width), expected, "width {width}");
}

fn gpu_argmax(gpu: &Gpu, scores: &[f32], width: usize) -> Vec<u32> {
    let scores = Tensor::upload(gpu, &[scores.len() / width, width], scores);
    integers(&run(gpu, |pass| vec![ops::argmax(pass, &scores)])[0])
}

#[test]
fn argmax_of_what_is_no_number() {
    for gpu in layouts() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (width, place) in [
                (1, 0),
                (300, 0),
                (300, 44),
                (300, 255),
                (300, 256),
                (300, 299),
            ] {
                // The row before and the row behind stay as they are.
                let mut scores = noise(3 * width, 11);
                let mut expected: Vec<u32> = scores
                    .chunks(width)
                    .map(|row| reference::argmax(row) as u32)
                    .collect();
                scores[width + place] = bad;
                expected[1] = NOT_FINITE;
                let actual = gpu_argmax(&gpu, &scores, width);
                assert_eq!(actual, expected, "{bad} at {place} of {width}");
            }
        }
    }
}

//! Products with weights, and rows of them, in every format.

use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Gpu, Pass, Tensor, Weight, WeightWriter};
use tiefsee::ops::{self, HeadSlices};

use crate::common::{
    assert_near, floats, layouts_with_formats, noise, open, run, run_f32, stored, upload,
};
use crate::{ROUNDING, reference};

/// Tokens, outer, inner.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 36],
    [1, 129, 100],
    [2, 33, 60],
    [3, 129, 80],
    [4, 33, 36],
    [5, 1, 100],
    [29, 33, 80],
    [1, 96, 1024],
    [6, 5, 8],
];

type Matmul = fn(&mut Pass, &Tensor, &Weight) -> Tensor;

#[test]
fn matmul_few() {
    for (gpu, format) in layouts_with_formats() {
        for shape in SHAPES {
            check_matmul(&gpu, ops::matmul_few, format, shape);
        }
    }
}

#[test]
fn matmul_blocked() {
    for (gpu, format) in layouts_with_formats() {
        for shape in SHAPES {
            check_matmul(&gpu, ops::matmul_blocked, format, shape);
        }
    }
}

#[test]
fn matmul_takes_either() {
    let gpu = open();
    for tokens in 1..=5 {
        check_matmul(&gpu, ops::matmul, &formats::Q8_0, [tokens, 33, 60]);
    }
}

fn check_matmul(gpu: &Gpu, matmul: Matmul, format: &'static Format, shape: [usize; 3]) {
    let [tokens, outer, inner] = shape;
    let x = noise(tokens * inner, 20);
    let weight = hard_weight(outer, inner);
    let actual = run_f32(gpu, |pass| {
        let weight = upload(gpu, format, [1, outer, inner], &weight);
        matmul(pass, &Tensor::upload(gpu, &[tokens, inner], &x), &weight)
    });
    let expected = reference::matmul(&x, &stored(format, &weight, inner), inner);
    assert_near(
        &actual,
        &expected,
        ROUNDING,
        &format!("{} {shape:?}", format.name),
    );
}

/// One request's broken values are of no concern to the others in the batch.
#[test]
fn what_is_no_number_stays_with_its_token() {
    let gpu = open();
    let (tokens, outer, inner) = (6, 33, 60);
    for broken in 0..tokens {
        let mut x = noise(tokens * inner, 25);
        x[broken * inner..][..inner].fill(f32::NAN);
        let weight = upload(
            &gpu,
            &formats::Q8_0,
            [1, outer, inner],
            &noise(outer * inner, 26),
        );
        let head_weight = upload(&gpu, &formats::F32, [1, outer, 12], &noise(outer * 12, 27));
        let first: Vec<u32> = (0..tokens as u32).map(|token| 5 * token).collect();
        let first = Tensor::upload(&gpu, &[tokens], &first);
        let results = run(&gpu, |pass| {
            let x = Tensor::upload(&gpu, &[tokens, inner], &x);
            // Behind a head's last value lies the next token's first one.
            let heads = ops::gather(pass, &x.reshape(&[tokens * 5, 12]), &first);
            let heads = heads.reshape(&[tokens, 1, 12]);
            let slices = HeadSlices {
                inner: 12,
                width: outer,
            };
            vec![
                ops::matmul_few(pass, &x, &weight),
                ops::matmul_blocked(pass, &x, &weight),
                ops::matmul_heads(pass, &heads, &head_weight, slices),
            ]
        });
        for (kernel, result) in results.iter().enumerate() {
            for (token, row) in floats(result).chunks(outer).enumerate() {
                let finite = row.iter().all(|value| value.is_finite());
                assert_eq!(finite, token != broken, "kernel {kernel}, token {token}");
            }
        }
    }
}

/// Noise with a row of zeros in it and a huge value at the end of another.
fn hard_weight(outer: usize, inner: usize) -> Vec<f32> {
    let mut weight = noise(outer * inner, 21);
    if outer > 2 {
        weight[inner..2 * inner].fill(0.0);
        weight[3 * inner - 1] = 30.0;
    }
    weight
}

#[test]
fn embedding() {
    let gpu = open();
    for &format in formats::ALL {
        for (vocabulary, width) in [(1, 8), (101, 36), (33, 100), (7, 1024), (129, 60)] {
            let last = vocabulary as u32 - 1;
            check_embedding(&gpu, format, [vocabulary, width], &[last], 1.0);
            let ids = [0, last, last / 2, last, 0];
            check_embedding(&gpu, format, [vocabulary, width], &ids, 1.0);
        }
        // Weights and scales that are subnormal in f16, and those near its end.
        for magnitude in [0.0, 1e-5, 3e-7, 3e4] {
            check_embedding(&gpu, format, [5, 64], &[4, 0, 1], magnitude);
        }
    }
}

/// Decoding is exact, whatever the device makes of 16-bit floats.
fn check_embedding(
    gpu: &Gpu,
    format: &'static Format,
    [vocabulary, width]: [usize; 2],
    ids: &[u32],
    magnitude: f32,
) {
    let table: Vec<f32> = hard_weight(vocabulary, width)
        .iter()
        .map(|value| value * magnitude)
        .collect();
    let actual = run_f32(gpu, |pass| {
        let weight = upload(gpu, format, [1, vocabulary, width], &table);
        ops::embedding(pass, &Tensor::upload(gpu, &[ids.len()], ids), &weight)
    });
    let expected = reference::embedding(&stored(format, &table, width), width, ids);
    let what = format!(
        "{} [{vocabulary}, {width}] times {magnitude}, {ids:?}",
        format.name
    );
    assert_eq!(actual, expected, "{what}");
}

#[test]
fn weights_uploaded_as_they_are_stored() {
    let gpu = open();
    let (rows, columns) = (9, 64);
    let values = noise(rows * columns, 22);
    for &format in formats::ALL.iter().filter(|format| format.stored.is_some()) {
        let plane = (format.pack)(&values).remove(0);
        let actual = run_f32(&gpu, |pass| {
            let mut writer =
                pollster::block_on(WeightWriter::new(&gpu, format, [1, rows, columns])).unwrap();
            let row = plane.len() / rows;
            for part in [&plane[..row], &plane[row..5 * row], &plane[5 * row..]] {
                pollster::block_on(writer.write_planes(&[part.to_vec()])).unwrap();
            }
            let ids = Tensor::upload(&gpu, &[rows], &(0..rows as u32).collect::<Vec<_>>());
            ops::embedding(pass, &ids, &writer.finish())
        });
        assert_eq!(actual, stored(format, &values, columns), "{}", format.name);
    }
}

#[test]
fn matmul_heads() {
    for (gpu, format) in layouts_with_formats() {
        // Into the latent's space, with the rotary part behind it and padding behind that.
        for (tokens, heads, sizes) in [
            (1, 1, [12, 28, 6, 36]),
            (3, 5, [12, 28, 6, 36]),
            (2, 3, [32, 64, 32, 96]),
            (1, 4, [128, 512, 64, 576]),
            (4, 3, [20, 33, 0, 33]),
        ] {
            check_matmul_heads(&gpu, format, [tokens, heads], sizes);
        }
        // And back: nothing behind it.
        for (tokens, heads, sizes) in [(29, 5, [28, 12, 0, 12]), (1, 4, [512, 128, 0, 128])] {
            check_matmul_heads(&gpu, format, [tokens, heads], sizes);
        }
    }
}

fn check_matmul_heads(
    gpu: &Gpu,
    format: &'static Format,
    [tokens, heads]: [usize; 2],
    sizes: [usize; 4],
) {
    let [inner, outer, tail, width] = sizes;
    let stride = inner + tail;
    let x = noise(tokens * heads * stride, 23);
    let weight = noise(heads * outer * inner, 24);
    let actual = run_f32(gpu, |pass| {
        let x = Tensor::upload(gpu, &[tokens, heads, stride], &x);
        let weight = upload(gpu, format, [heads, outer, inner], &weight);
        ops::matmul_heads(pass, &x, &weight, HeadSlices { inner, width })
    });
    let what = format!("{} {tokens} x {heads} heads of {sizes:?}", format.name);
    let expected = expected_heads(&x, &stored(format, &weight, inner), heads, sizes);
    assert_near(&actual, &expected, ROUNDING, &what);
    for (actual, x) in actual.chunks(width).zip(x.chunks(stride)) {
        assert_eq!(actual[outer..][..tail], x[inner..], "{what}: the tail");
        assert!(
            actual[outer + tail..].iter().all(|&value| value == 0.0),
            "{what}: padding"
        );
    }
}

/// Products, tail and padding of every head.
pub(crate) fn expected_heads(
    x: &[f32],
    weight: &[f32],
    heads: usize,
    sizes: [usize; 4],
) -> Vec<f32> {
    let [inner, outer, tail, width] = sizes;
    let stride = inner + tail;
    let multiplied: Vec<f32> = x
        .chunks(stride)
        .flat_map(|head| &head[..inner])
        .copied()
        .collect();
    let products = reference::matmul_heads(&multiplied, weight, heads, inner);
    let head = |(products, x): (&[f32], &[f32])| {
        let mut head = [products, &x[inner..]].concat();
        head.resize(width, 0.0);
        head
    };
    products
        .chunks(outer)
        .zip(x.chunks(stride))
        .flat_map(head)
        .collect()
}

//! Products with weights, and rows of them, in every format.

use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Gpu, Pass, Tensor, Weight, WeightWriter};
use tiefsee::ops::{self, HeadSlices, Input, Norm};

use crate::common::{
    assert_near, floats, layouts, layouts_with_formats, noise, open, run, run_f32, stored, upload,
};
use crate::{EXPONENTIAL, ROUNDING, reference};

/// Tokens, outer, inner.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 36],
    [1, 129, 100],
    [2, 33, 60],
    [3, 129, 80],
    [4, 33, 36],
    [5, 1, 100],
    [29, 33, 80],
    [1, 96, 1024],
    [6, 5, 8],
    [9, 67, 24],
    [33, 65, 40],
    [100, 34, 36],
];

type Matmul = fn(&mut Pass, &Input, &Weight) -> Tensor;

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
fn matmul_few_rows() {
    for (gpu, format) in layouts_with_formats() {
        for shape in SHAPES.into_iter().filter(|[tokens, ..]| *tokens <= 8) {
            check_matmul(&gpu, ops::matmul_few_rows, format, shape);
        }
    }
}

/// Around every number of tokens at which another kernel or block is taken.
#[test]
fn matmul_takes_what_suits() {
    for gpu in layouts() {
        for tokens in (1..=9).chain([15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128]) {
            check_matmul(
                &gpu,
                |pass, x, weight| ops::matmul(pass, x, weight),
                &formats::Q8_0,
                [tokens, 33, 60],
            );
            check_matmul(
                &gpu,
                |pass, x, weight| ops::matmul(pass, x, weight),
                &formats::F32,
                [tokens, 65, 24],
            );
        }
    }
}

fn check_matmul(gpu: &Gpu, matmul: Matmul, format: &'static Format, shape: [usize; 3]) {
    let [tokens, outer, inner] = shape;
    let x = noise(tokens * inner, 20);
    let weight = hard_weight(outer, inner);
    let actual = run_f32(gpu, |pass| {
        let weight = upload(gpu, format, [1, outer, inner], &weight);
        let x = Tensor::upload(gpu, &[tokens, inner], &x);
        matmul(pass, &Input::from(&x), &weight)
    });
    let expected = reference::matmul(&x, &stored(format, &weight, inner), inner);
    assert_near(
        &actual,
        &expected,
        ROUNDING,
        &format!("{} {shape:?}", format.name),
    );
}

/// Rows to be normalised, some of zeros or with huge squares; as they are, and normalised.
fn normed(gpu: &Gpu, tokens: usize, width: usize) -> (Input, Vec<f32>, Vec<f32>) {
    let (mut x, gain) = (noise(tokens * width, 28), noise(width, 29));
    if tokens > 2 {
        x[..width].fill(0.0);
        x[width..2 * width]
            .iter_mut()
            .for_each(|value| *value *= 3e4);
    }
    let expected = reference::rms_norm(&x, &gain, 1e-6);
    let norm = Norm {
        gain: Tensor::upload(gpu, &[width], &gain),
        epsilon: 1e-6,
    };
    let input = Input {
        x: Tensor::upload(gpu, &[tokens, width], &x),
        norm: Some(norm),
    };
    (input, x, expected)
}

#[test]
fn products_of_normalised_rows() {
    for (gpu, format) in layouts_with_formats() {
        for shape in SHAPES {
            check_input(&gpu, format, shape);
        }
    }
}

/// Normalised by the product itself, and by a launch before it.
fn check_input(gpu: &Gpu, format: &'static Format, [tokens, outer, inner]: [usize; 3]) {
    let weight = noise(outer * inner, 30);
    let (input, _, normed) = normed(gpu, tokens, inner);
    let results = run(gpu, |pass| {
        let weight = upload(gpu, format, [1, outer, inner], &weight);
        vec![
            ops::matmul_few(pass, &input, &weight),
            ops::matmul_blocked(pass, &input, &weight),
        ]
    });
    let expected = reference::matmul(&normed, &stored(format, &weight, inner), inner);
    for result in &results {
        let what = format!("{} {tokens} x {outer} x {inner}", format.name);
        assert_near(&floats(result), &expected, ROUNDING, &what);
    }
}

#[test]
fn products_are_added() {
    for (gpu, format) in layouts_with_formats() {
        for [tokens, outer, inner] in SHAPES {
            let (weight, before) = (noise(outer * inner, 31), noise(tokens * outer, 32));
            let x = noise(tokens * inner, 33);
            let actual = run_f32(&gpu, |pass| {
                let weight = upload(&gpu, format, [1, outer, inner], &weight);
                let sum = Tensor::upload(&gpu, &[tokens, outer], &before);
                let x = Tensor::upload(&gpu, &[tokens, inner], &x);
                ops::add_matmul(pass, &x, &weight, &sum);
                sum
            });
            let product = reference::matmul(&x, &stored(format, &weight, inner), inner);
            let what = format!("{} {tokens} x {outer} x {inner}", format.name);
            assert_near(&actual, &reference::add(&before, &product), ROUNDING, &what);
        }
    }
}

#[test]
fn gate_up() {
    for (gpu, format) in layouts_with_formats() {
        for [tokens, outer, inner] in SHAPES {
            check_gate_up(&gpu, format, [tokens, outer, inner]);
        }
    }
}

fn check_gate_up(gpu: &Gpu, format: &'static Format, [tokens, outer, inner]: [usize; 3]) {
    let weight = noise(2 * outer * inner, 34);
    let (input, x, normed) = normed(gpu, tokens, inner);
    let plain = Input::from(&input.x);
    for (input, rows) in [(plain, x), (input, normed)] {
        let actual = run_f32(gpu, |pass| {
            let weight = upload(gpu, format, [1, 2 * outer, inner], &weight);
            ops::gate_up(pass, &input, &weight)
        });
        let products = reference::matmul(&rows, &stored(format, &weight, inner), inner);
        let halves = products.chunks(2 * outer).map(|row| row.split_at(outer));
        let (gate, up): (Vec<&[f32]>, Vec<&[f32]>) = halves.unzip();
        let expected = reference::swiglu(&gate.concat(), &up.concat());
        let what = format!("{} {tokens} x {outer} x {inner}", format.name);
        assert_near(&actual, &expected, EXPONENTIAL, &what);
    }
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
                ops::matmul_few(pass, &Input::from(&x), &weight),
                ops::matmul_few_rows(pass, &Input::from(&x), &weight),
                ops::matmul_blocked(pass, &Input::from(&x), &weight),
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
    let what = format!("{} {tokens} x {heads} heads of {sizes:?}", format.name);
    let expected = expected_heads(&x, &stored(format, &weight, inner), heads, sizes);
    for op in [ops::matmul_heads_few, ops::matmul_heads_blocked] {
        let actual = run_f32(gpu, |pass| {
            let x = Tensor::upload(gpu, &[tokens, heads, stride], &x);
            let weight = upload(gpu, format, [heads, outer, inner], &weight);
            op(pass, &x, &weight, HeadSlices { inner, width })
        });
        assert_near(&actual, &expected, ROUNDING, &what);
        for (actual, x) in actual.chunks(width).zip(x.chunks(stride)) {
            assert_eq!(actual[outer..][..tail], x[inner..], "{what}: the tail");
            assert!(
                actual[outer + tail..].iter().all(|&value| value == 0.0),
                "{what}: padding"
            );
        }
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

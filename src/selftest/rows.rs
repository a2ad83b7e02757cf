//! Kernels that work on rows and read no weight.

use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise, scaled};
use crate::gpu::{Pass, Tensor};
use crate::ops::{self, Columns, NOT_FINITE};
use crate::reference;

const EPSILON: f32 = 1e-6;

pub(super) fn rms_norm(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width, offset) = (sizes.many, sizes.hidden, 3);
    let stride = width + 5;
    let mut values = noise(rows * stride, 1);
    // The first row has no mean square but epsilon, the last one is large.
    values[..stride].fill(0.0);
    let last = values.split_off((rows - 1) * stride);
    values.extend(scaled(last, 1e6));
    let gains = noise(width, 2);
    let x = Tensor::upload(pass.gpu, &[rows, stride], &values);
    let gain = Tensor::upload(pass.gpu, &[width], &gains);
    let y = ops::rms_norm(pass, &x, Columns { offset, width }, &gain, EPSILON);
    let columns: Vec<f32> = values
        .chunks(stride)
        .flat_map(|row| row[offset..offset + width].to_vec())
        .collect();
    let expected = reference::rms_norm(&columns, &gains, f64::from(EPSILON));
    Trial {
        operations: (4 * rows * width) as u64,
        ..Trial::of(&[&x, &gain], y, expected)
    }
}

pub(super) fn add_rms_norm(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width) = (sizes.many, sizes.hidden);
    let [values, updates] = [3, 4].map(|seed| noise(rows * width, seed));
    let gains = noise(width, 5);
    let [x, update] =
        [&values, &updates].map(|values| Tensor::upload(pass.gpu, &[rows, width], values));
    let gain = Tensor::upload(pass.gpu, &[width], &gains);
    let (sum, y) = ops::add_rms_norm(pass, &x, &update, &gain, EPSILON);
    let sums = reference::add(&values, &updates);
    let expected = reference::rms_norm(&sums, &gains, f64::from(EPSILON));
    let mut trial = Trial::of(&[&x, &update, &gain, &sum], y, expected);
    trial.results.push((sum, Expected::Floats(sums)));
    trial.operations = (5 * rows * width) as u64;
    trial
}

pub(super) fn swiglu(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width) = (sizes.many, sizes.intermediate);
    let mut values = scaled(noise(rows * 2 * width, 6), 4.0);
    // Gates whose exponentials are beyond f32.
    values[..4].copy_from_slice(&[-1e30, -100.0, -89.0, 0.0]);
    let x = Tensor::upload(pass.gpu, &[rows, 2 * width], &values);
    let y = ops::swiglu(pass, &x);
    let activate = |row: &[f32]| reference::swiglu(&row[..width], &row[width..]);
    let expected = values.chunks(2 * width).flat_map(activate).collect();
    let operations = (5 * rows * width) as u64;
    Trial {
        tolerance: EXPONENTIAL,
        operations,
        ..Trial::of(&[&x], y, expected)
    }
}

pub(super) fn argmax(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width) = (4, sizes.vocabulary);
    let mut values = noise(rows * width, 7);
    // The first of two equals; a maximum at the end; all equal and negative; one that is no number.
    values[width / 3] = 2.0;
    values[width - 1] = 2.0;
    values[2 * width - 1] = 2.0;
    values[2 * width..3 * width].fill(-1e20);
    values[4 * width - 2] = f32::NAN;
    let x = Tensor::upload(pass.gpu, &[rows, width], &values);
    let y = ops::argmax(pass, &x);
    let best = values
        .chunks(width)
        .map(|row| reference::argmax(row) as u32);
    let expected = best.take(rows - 1).chain([NOT_FINITE]).collect();
    let mut trial = Trial::of(&[&x], y.clone(), Vec::new());
    trial.results = vec![(y, Expected::Integers(expected))];
    trial
}

pub(super) fn gather(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (tokens, width) = (sizes.many, sizes.hidden);
    let values = noise(tokens * width, 8);
    let wanted = [tokens as u32 - 1, 0, tokens as u32 / 2, 0];
    let x = Tensor::upload(pass.gpu, &[tokens, width], &values);
    let rows = Tensor::upload(pass.gpu, &[wanted.len()], &wanted);
    let y = ops::gather(pass, &x, &rows);
    let bytes = 2 * y.bytes();
    Trial {
        tolerance: 0.0,
        bytes,
        ..Trial::of(&[], y, reference::embedding(&values, width, &wanted))
    }
}

pub(super) fn pad(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width) = (sizes.many, sizes.hidden - 3);
    let padded = width.next_multiple_of(32) + 32;
    let values = noise(rows * width, 9);
    let x = Tensor::upload(pass.gpu, &[rows, width], &values);
    let y = ops::pad(pass, &x, padded);
    let wide = |row: &[f32]| [row, &vec![0.0; padded - width]].concat();
    let expected = values.chunks(width).flat_map(wide).collect();
    Trial {
        tolerance: 0.0,
        ..Trial::of(&[&x], y, expected)
    }
}

pub(super) fn combine(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (tokens, slots, width) = (sizes.many, sizes.experts_per_token, sizes.hidden);
    let values = noise(tokens * slots * width, 10);
    let shares = noise(tokens * slots, 11);
    let x = Tensor::upload(pass.gpu, &[tokens, slots, width], &values);
    let weights = Tensor::upload(pass.gpu, &[tokens, slots], &shares);
    let y = ops::combine(pass, &x, &weights);
    let expected = reference::combine(&values, &shares, slots, width);
    let operations = (2 * tokens * slots * width) as u64;
    Trial {
        operations,
        ..Trial::of(&[&x, &weights], y, expected)
    }
}

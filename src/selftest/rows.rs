//! Kernels that work on rows and read no weight.

use super::trial::{EXPONENTIAL, Expected, Sizes, Trial, noise, scaled};
use crate::gpu::{Pass, Tensor};
use crate::ops::{self, Columns, DRAW_WORDS, Draw, NOT_FINITE, UNKNOWN_ID};
use crate::reference::{self, Drawing};

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

pub(super) fn draw(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let (rows, width) = (6, sizes.vocabulary);
    let mut values = scaled(noise(rows * width, 14), 4.0);
    // A row of equals, and one with a score that is no number.
    values[4 * width..5 * width].fill(0.5);
    values[6 * width - 2] = f32::NAN;
    let draws = [
        (0.0, 0, 1.0, 0.0),
        (1.5, 0, 1.0, 0.0),
        (0.7, 20, 0.9, 0.0),
        (3.0, 0, 0.3, 0.02),
        (1.0, 5, 0.5, 0.0),
        (1.0, 0, 1.0, 0.0),
    ]
    .map(|(temperature, top_k, top_p, min_p)| Draw {
        seed: [7, 8],
        position: 9,
        top_k,
        temperature,
        top_p,
        min_p,
    });
    let x = Tensor::upload(pass.gpu, &[rows, width], &values);
    let given = Tensor::upload(pass.gpu, &[rows, DRAW_WORDS], &draws);
    let y = ops::draw(pass, &x, &given);
    let drawn = values.chunks(width).zip(&draws).map(|(row, draw)| {
        let Draw { top_k, .. } = *draw;
        let [temperature, top_p, min_p] = [draw.temperature, draw.top_p, draw.min_p].map(f64::from);
        let drawing = Drawing {
            temperature,
            top_k: top_k as usize,
            top_p,
            min_p,
        };
        match temperature {
            0.0 => reference::argmax(row) as u32,
            _ => drawing.draw(row, 7 + (8 << 32), 9) as u32,
        }
    });
    let expected = drawn.take(rows - 1).chain([NOT_FINITE]).collect();
    let mut trial = Trial::of(&[&x, &given], y.clone(), Vec::new());
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

pub(super) fn fill_ids(pass: &mut Pass, sizes: &Sizes) -> Trial {
    let count = sizes.many;
    let unknown = |id: usize| id.is_multiple_of(3);
    // Every second id may be filled in, every third one is to be.
    let id = |id: usize| if unknown(id) { UNKNOWN_ID } else { id as u32 };
    let rows: Vec<_> = (0..count as u32).rev().map(|row| 2 * row).collect();
    let chosen: Vec<_> = rows.iter().map(|row| 1000 + row).collect();
    let filled = |place: usize| {
        if place.is_multiple_of(2) && unknown(place) {
            1000 + place as u32
        } else {
            id(place)
        }
    };
    let ids: Vec<_> = (0..2 * count).map(id).collect();
    let ids = Tensor::upload(pass.gpu, &[2 * count], &ids);
    let [rows, chosen] = [rows, chosen].map(|values| Tensor::upload(pass.gpu, &[count], &values));
    ops::fill_ids(pass, &ids, &rows, &chosen);
    let mut trial = Trial::of(&[&rows, &chosen], ids.clone(), Vec::new());
    let expected = (0..2 * count).map(filled).collect();
    trial.results = vec![(ids, Expected::Integers(expected))];
    trial
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
    let before = noise(tokens * width, 12);
    let sum = Tensor::upload(pass.gpu, &[tokens, width], &before);
    ops::add_combined(pass, &x, &weights, &sum);
    let expected = reference::add(&before, &reference::combine(&values, &shares, slots, width));
    let operations = (2 * tokens * slots * width) as u64;
    Trial {
        operations,
        ..Trial::of(&[&x, &weights], sum, expected)
    }
}

//! Loads of several values at once: `half8` and `half2` on every finite f16, `wide` on noise.

use bytemuck::{Pod, Zeroable};
use half::f16;

use super::trial::{Expected, Sizes, Trial, noise};
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
}

/// Subnormal values included; infinities and what is no number are in no weight.
pub(super) fn halves(pass: &mut Pass, _: &Sizes) -> Trial {
    let values: Vec<f16> = (0..=u16::MAX)
        .map(f16::from_bits)
        .filter(|value| value.is_finite())
        .collect();
    let count = values.len() / 8;
    let x = Tensor::upload(pass.gpu, &[values.len() / 2], &values);
    let y = pass.tensor(&[count, 2, 8]);
    pass.dispatch(Dispatch {
        kernel: kernel!("halves_check"),
        constants: &[],
        params: Params {
            count: count as u32,
        },
        inputs: &[&x, &x],
        weight: None,
        outputs: &[&y],
        workgroups: [count.div_ceil(64), 1, 1],
    });
    // As bits: the largest value would hide what becomes of the smallest.
    let bits = |values: &[f16]| {
        values
            .iter()
            .map(|value| value.to_f32().to_bits())
            .collect::<Vec<_>>()
    };
    let expected = values
        .chunks(8)
        .flat_map(|eight| bits(eight).repeat(2))
        .collect();
    Trial {
        format: None,
        bytes: x.bytes() + y.bytes(),
        results: vec![(y, Expected::Integers(expected))],
        tolerance: 0.0,
        operations: 0,
    }
}

/// Eight values at a time, none of them like its neighbours.
pub(super) fn wide(pass: &mut Pass, _: &Sizes) -> Trial {
    let count = 77;
    let values = noise(8 * count, 70);
    let x = Tensor::upload(pass.gpu, &[count, 8], &values);
    let y = pass.tensor(&[count, 8]);
    pass.dispatch(Dispatch {
        kernel: kernel!("wide_check"),
        constants: &[],
        params: Params {
            count: count as u32,
        },
        inputs: &[&x],
        weight: None,
        outputs: &[&y],
        workgroups: [count.div_ceil(64), 1, 1],
    });
    Trial {
        tolerance: 0.0,
        ..Trial::of(&[&x], y, values)
    }
}

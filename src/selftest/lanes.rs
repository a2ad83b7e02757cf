//! `lanes_sum` over groups narrower than a subgroup, as wide, and wider.

use super::trial::{Sizes, Trial, noise};
use crate::gpu::{Dispatch, Pass, Tensor, Tiers};
use crate::kernel;

const ROWS: usize = 3;

/// Groups of half a subgroup, summed by shuffles.
pub(super) fn part_of_subgroup(pass: &mut Pass, _: &Sizes) -> Trial {
    let width = subgroup_width(pass.gpu.tiers);
    lanes_check(pass, width.max(64), (width / 2).max(1))
}

/// Groups that are subgroups.
pub(super) fn subgroup(pass: &mut Pass, _: &Sizes) -> Trial {
    let width = subgroup_width(pass.gpu.tiers);
    lanes_check(pass, width.max(64), width)
}

/// A whole workgroup of several subgroups, as kernels have that work on rows.
pub(super) fn workgroup(pass: &mut Pass, _: &Sizes) -> Trial {
    let lanes = (2 * subgroup_width(pass.gpu.tiers)).max(64);
    lanes_check(pass, lanes, lanes)
}

/// Without subgroups 32 is as good as any width.
fn subgroup_width(tiers: Tiers) -> usize {
    if tiers.subgroup_size > 0 {
        tiers.subgroup_size as usize
    } else {
        32
    }
}

fn lanes_check(pass: &mut Pass, workgroup: usize, lanes: usize) -> Trial {
    let values = noise(ROWS * workgroup, 1);
    let x = Tensor::upload(pass.gpu, &[ROWS, workgroup], &values);
    let y = pass.tensor(&[ROWS, 2, workgroup]);
    pass.dispatch(Dispatch {
        kernel: kernel!("lanes_check"),
        constants: &[
            ("WORKGROUP_SIZE", workgroup as u32),
            ("LANES", lanes as u32),
        ],
        params: (),
        inputs: &[&x],
        weight: None,
        outputs: &[&y],
        workgroups: [ROWS, 1, 1],
    });
    let sums = |power: i32| {
        move |group: &[f32]| {
            let sum: f64 = group
                .iter()
                .map(|&value| f64::from(value).powi(power))
                .sum();
            std::iter::repeat_n(sum as f32, group.len()).collect::<Vec<_>>()
        }
    };
    let both = |row: &[f32]| {
        [1, 2]
            .map(|power| row.chunks(lanes).flat_map(sums(power)).collect::<Vec<_>>())
            .concat()
    };
    let expected = values.chunks(workgroup).flat_map(both).collect();
    Trial {
        operations: (3 * ROWS * workgroup) as u64,
        ..Trial::of(&[&x], y, expected)
    }
}

//! Sums over groups of lanes, which every reduction is made of.

use tiefsee::gpu::{Dispatch, Gpu, Kernel, Pass, Tensor};

use crate::common::{layouts, run_f32};

/// Two sums in a row, of which the second depends on the first.
const KERNEL: Kernel = Kernel {
    name: "lanes_test",
    wgsl: "
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;

        override WORKGROUP_SIZE: u32 = 64;
        override LANES: u32 = 32;

        @compute @workgroup_size(WORKGROUP_SIZE)
        fn main(
            @builtin(workgroup_id) workgroup: vec3u,
            @builtin(local_invocation_index) lane: u32,
        ) {
            let i = workgroup.x * WORKGROUP_SIZE + lane;
            let sum = lanes_sum(x[i], lane);
            y[i] = lanes_sum(sum - x[i], lane) + x[i];
        }
    ",
    cache: None,
};

/// Groups smaller than a subgroup, as large and larger, one and several to a workgroup.
#[test]
fn lanes_sum() {
    for gpu in layouts() {
        for workgroup in [1, 8, 64, 256] {
            for lanes in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
                if lanes <= workgroup {
                    check_lanes_sum(&gpu, workgroup, lanes);
                }
            }
        }
    }
}

fn check_lanes_sum(gpu: &Gpu, workgroup: usize, lanes: usize) {
    let workgroups = 3;
    // Whole numbers, so that every order of adding gives the same.
    let x: Vec<f32> = (0..workgroup * workgroups)
        .map(|i| (i * i % 97) as f32)
        .collect();
    let actual = run_f32(gpu, |pass: &mut Pass| {
        let y = pass.tensor(&[x.len()]);
        pass.dispatch(Dispatch {
            kernel: KERNEL,
            constants: &[
                ("WORKGROUP_SIZE", workgroup as u32),
                ("LANES", lanes as u32),
            ],
            params: (),
            inputs: &[&Tensor::upload(gpu, &[x.len()], &x)],
            weight: None,
            outputs: &[&y],
            workgroups: [workgroups, 1, 1],
        });
        y
    });
    let expected = x.chunks(lanes).flat_map(|group| {
        let sum: f32 = group.iter().sum();
        let second = lanes as f32 * sum - sum;
        group.iter().map(move |x| second + x)
    });
    let expected: Vec<f32> = expected.collect();
    assert_eq!(actual, expected, "{lanes} of {workgroup} lanes");
}

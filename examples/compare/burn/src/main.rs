//! burn's side of the comparison: products of f32 matrices on its wgpu back end.
//!
//!     products REPETITIONS MxNxK..
//!
//! Writes a line for each size: the size, then microseconds of a product, once for each repetition.
//! They are the mean of several products in a row with one wait, as `tiefsee bench --products`
//! measures them. Before that burn has tried its kernels on that size and chosen one; it keeps
//! its choice on disk. A right matrix may be stored by rows or by columns, which is not the same to
//! burn: each size is measured in both ways, and the one with the smaller median counts.

use std::time::Instant;

use burn::tensor::{Device, DeviceKind, Distribution, Tensor};

/// Products that are queued before their end is waited for.
const IN_A_ROW: usize = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let repetitions = arguments.next().and_then(|text| text.parse().ok());
    let repetitions = repetitions.expect("how many repetitions");
    let device = Device::wgpu(DeviceKind::Cpu);
    for text in arguments {
        let sizes: Vec<usize> = text.split('x').flat_map(str::parse).collect();
        let &[rows, outer, inner] = &sizes[..] else {
            panic!("{text} is not a size like 512x512x512");
        };
        let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
        let left = random([rows, inner]);
        let by_rows = time(&device, repetitions, &left, &random([inner, outer]));
        let by_columns = time(
            &device,
            repetitions,
            &left,
            &random([outer, inner]).transpose(),
        );
        let best = [by_rows, by_columns]
            .into_iter()
            .min_by(|one, other| median(one).total_cmp(&median(other)));
        let best: Vec<String> = best
            .into_iter()
            .flatten()
            .map(|micros| format!("{micros:.1}"))
            .collect();
        println!("{text} {}", best.join(" "));
    }
}

/// Microseconds of a product, as often as asked for.
fn time(device: &Device, repetitions: usize, left: &Tensor<2>, right: &Tensor<2>) -> Vec<f64> {
    let wait = || device.sync().expect("a device that works");
    let mut once = || {
        let start = Instant::now();
        for _ in 0..IN_A_ROW {
            left.clone().matmul(right.clone());
        }
        wait();
        1e6 * start.elapsed().as_secs_f64() / IN_A_ROW as f64
    };
    // The first one makes burn choose, the second one runs what it has chosen.
    once();
    once();
    (0..repetitions).map(|_| once()).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

//! Times of launches, by either clock, and what is known of the launches.

use std::rc::Rc;
use std::time::{Duration, Instant};

use pollster::block_on;
use tiefsee::formats;
use tiefsee::gpu::{Clock, Gpu, Pass, Recording, Tensor};
use tiefsee::ops;

use crate::common::{noise, open, upload};

/// A tiny product, then a large one.
fn two_products(gpu: &Gpu) -> Recording {
    let mut pass = Pass::new(gpu);
    let products = [(8, 8), (1024, 2048)].map(|(rows, columns)| {
        let weight = upload(
            gpu,
            &formats::Q8_0,
            [1, rows, columns],
            &noise(rows * columns, 1),
        );
        let x = Tensor::upload(gpu, &[1, columns], &noise(columns, 2));
        ops::matmul(&mut pass, &x, &weight)
    });
    pass.finish(products.to_vec())
}

fn with_clock(clock: Clock) -> Rc<Gpu> {
    let mut gpu = open();
    Rc::get_mut(&mut gpu).expect("the only owner").clock = clock;
    gpu
}

#[test]
fn either_clock_tells_long_launches_from_short_ones() {
    let own = open().clock;
    for clock in [own, Clock::Host] {
        let gpu = with_clock(clock);
        let recording = two_products(&gpu);
        let launches = recording.kernels().count();
        let before = gpu.memory();
        for repeats in [1, 3] {
            let mut least = vec![Duration::MAX; launches];
            for _ in 0..5 {
                let started = Instant::now();
                let profile = block_on(recording.profile(&gpu, repeats)).expect("times");
                let passed = started.elapsed();
                assert_eq!((profile.clock, profile.times.len()), (clock, launches));
                let sum: Duration = profile.times.iter().sum();
                assert!(sum * repeats <= passed, "{sum:?} of {passed:?}");
                for (least, took) in least.iter_mut().zip(profile.times) {
                    *least = took.min(*least);
                }
            }
            // A row of eight is padded first.
            let small: Duration = least[..launches - 1].iter().sum();
            let large = least[launches - 1];
            assert!(large > 2 * small, "{clock:?}: {small:?} and {large:?}");
        }
        // What timestamps need is gone again, and a run still works.
        assert_eq!(gpu.memory(), before);
        block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
    }
}

#[test]
fn software_drivers_have_clocks() {
    let gpu = open();
    let name = gpu.adapter().info.name.to_lowercase();
    if name.contains("llvmpipe") {
        assert_eq!(gpu.clock, Clock::Device);
    }
}

#[test]
fn launches_say_what_they_work_on() {
    let gpu = open();
    let recording = two_products(&gpu);
    let work = recording.works().last().expect("launches");
    assert_eq!(work.kernel, "matmul");
    // The second stands in for a gain.
    assert_eq!(work.inputs, [[1, 2048], [1, 2048]]);
    assert_eq!(work.outputs, [[1, 1024]]);
    let part = work.weight.expect("a weight");
    assert_eq!(part.format.name, "q8_0");
    assert_eq!((part.rows, part.values()), (1024, 1024 * 2048));
    assert_eq!(part.bytes, 1024 * 2048 / 32 * 34);
}

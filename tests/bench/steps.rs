//! A step of decoding takes no memory of the host.

use std::rc::Rc;

use pollster::block_on;
use tiefsee::engine::{BLOCK, Follow, Inputs, Runner, Submitted, Want};
use tiefsee::gpu::cache;
use tiefsee::layers::Span;
use tiefsee::models::WeightOptions;

use crate::engines;

const CONTEXT: usize = 256;
const WARM_UP: usize = 16;
const STEPS: usize = 64;

fn demo() -> Runner {
    let (gpu, model) = engines::load("examples/demo-model", WeightOptions::default());
    let runner = Runner::new(gpu, model, CONTEXT, CONTEXT / BLOCK, &cache::F32);
    block_on(runner).expect("the bundled model")
}

fn span(position: usize) -> Span {
    Span {
        tokens: vec![5],
        start: position,
        blocks: (0..=(position / BLOCK) as u32).collect(),
        outputs: 1,
    }
}

/// Submits a step after another one, then waits for the other one, as decoding does.
fn step(runner: &mut Runner, position: usize, before: &mut Option<Submitted>) {
    let follow = before.as_ref().map(|step| Follow {
        step,
        tokens: &[(0, 0)],
    });
    let inputs = Inputs {
        follow,
        ..Inputs::default()
    };
    let submitted = runner.submit(&[span(position)], Want::TOKENS, inputs);
    if let Some(before) = before.replace(submitted) {
        block_on(runner.read(before)).expect("a token");
    }
}

#[test]
fn decoding_allocates_nothing_that_stays() {
    let mut runner = demo();
    let gpu = Rc::clone(runner.gpu());
    let mut before = None;
    for position in 0..WARM_UP {
        step(&mut runner, position, &mut before);
    }
    let (memory, made) = (gpu.memory(), gpu.counts().buffers);
    let allocations: Vec<_> = (WARM_UP..WARM_UP + STEPS)
        .map(|position| {
            let info = allocation_counter::measure(|| step(&mut runner, position, &mut before));
            assert_eq!(gpu.memory(), memory, "at {position}");
            assert_eq!(gpu.counts().buffers, made, "at {position}");
            info
        })
        .collect();
    let (first, last) = allocations.split_at(STEPS / 2);
    let most = |half: &[allocation_counter::AllocationInfo]| {
        half.iter().map(|info| info.count_total).max()
    };
    println!(
        "host allocations of a step: {:?}, later {:?}",
        most(first),
        most(last)
    );
    assert!(most(last) <= most(first));
    let kept: i64 = last.iter().map(|info| info.bytes_current).sum();
    println!("bytes that {} steps kept: {kept}", last.len());
    assert!(kept < 4096, "{kept} bytes");
}

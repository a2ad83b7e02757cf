//! DeepSeek-V2-Lite's true shapes, two layers of it, in a random GGUF file of `Q4_K`: loading stays within
//! the memory that there is, `plan` foretells it, and the scores are those of a reference on the processor.
//!
//! The only test of its process, since it measures the process's memory.

#[path = "../common/mod.rs"]
mod common;
mod file;
#[path = "../common/gguf.rs"]
mod gguf_file;
mod reference;
#[path = "../reference/rows.rs"]
mod rows;

use std::fs;
use std::rc::Rc;

use tiefsee::checkpoint::{Checkpoint, Folder};
use tiefsee::engine::{BLOCK, Runner, Want};
use tiefsee::layers::Span;
use tiefsee::models::{Loader, WeightOptions, architecture};

const MIB: u64 = 1 << 20;
/// What every device lets one binding hold.
const BINDING: u64 = 128 * MIB;
/// Host memory that loading may take besides.
const HOST: u64 = 300 * MIB;
/// Ids from all over the vocabulary.
const TOKENS: [u32; 4] = [100_000, 17, 51_234, 102_399];
/// Largest difference of a score, relative to the largest score.
const TOLERANCE: f32 = 1e-3;

#[test]
#[cfg(target_os = "linux")]
fn two_layers_of_v2_lite_load_and_score() {
    let path = std::env::temp_dir().join(format!("tiefsee-v2-lite-{}.gguf", std::process::id()));
    let size = file::write(&path).expect("to write the model");
    let mut gpu = common::open();
    common::limit(&mut gpu, BINDING as usize);
    let device_is_host = gpu.tiers.software;
    // Resets the peak to what is in use now.
    fs::write("/proc/self/clear_refs", "5").expect("to reset the peak");
    let before = common::process_bytes("VmRSS");

    let (checkpoint, model) = pollster::block_on(async {
        let source = Rc::new(Folder::of_file(&path)?);
        let checkpoint = Checkpoint::open(source).await?;
        let loader = Loader::new(&gpu, &checkpoint, WeightOptions::default(), &|_| ());
        let model = (architecture(&checkpoint)?.load)(&loader).await?;
        gpu.flush().await?;
        Ok::<_, tiefsee::Error>((checkpoint, model))
    })
    .expect("a model");
    let peak = common::process_bytes("VmHWM");

    let device = gpu.memory().total();
    println!(
        "a file of {} MiB: {} MiB on the device, {} MiB in all at the peak",
        size / MIB,
        device / MIB,
        (peak - before) / MIB
    );
    assert!(10 * device < 13 * size, "{device} bytes for {size}");
    let host = (peak - before).saturating_sub(if device_is_host { device } else { 0 });
    assert!(host <= HOST, "{} MiB of host memory", host / MIB);

    let mut runner = pollster::block_on(Runner::new(
        Rc::clone(&gpu),
        model,
        BLOCK,
        1,
        Default::default(),
    ))
    .expect("room for the cache");
    let span = Span {
        tokens: TOKENS.to_vec(),
        start: 0,
        blocks: vec![0],
        outputs: TOKENS.len(),
    };
    let output = pollster::block_on(runner.run(&[span], Want::SCORES)).expect("a step");
    let scores = output.scores;
    drop(runner);
    let expected = reference::scores(&checkpoint, &TOKENS);
    fs::remove_file(&path).expect("to clean up");
    common::assert_near(&scores, &expected, TOLERANCE, "scores");
}

//! The launches that models are recorded into.

use std::path::{Path, PathBuf};

use tiefsee::engine::{Runner, Want};
use tiefsee::layers::Span;

use super::{common, run, runner};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model")
}

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(family)
}

fn decode_step(position: usize) -> [Span; 1] {
    [Span {
        tokens: vec![30],
        start: position,
        blocks: (0..2).collect(),
        outputs: 1,
    }]
}

/// The launches of each layer in a step of one token: a layer ends in its down projection.
///
/// Without those that pad rows, which no published model's widths need.
fn layers(runner: &mut Runner) -> Vec<Vec<&'static str>> {
    let recording = runner.prepare(&decode_step(0), Want::TOKENS);
    let kernels: Vec<_> = recording.kernels().filter(|&name| name != "pad").collect();
    assert_eq!(kernels[0], "embedding", "{kernels:?}");
    let (mut layers, mut layer) = (Vec::new(), Vec::new());
    for &kernel in &kernels[1..] {
        let gated = layer.last() == Some(&"gate_up");
        layer.push(kernel);
        if kernel == "expert_down" || gated && kernel == "matmul" {
            layers.push(std::mem::take(&mut layer));
        }
    }
    assert_eq!(layers.len(), runner.shape().layers, "{kernels:?}");
    assert_eq!(layer, ["matmul", "argmax"], "behind the layers");
    layers
}

#[test]
fn layers_with_latent_attention_and_experts_are_ten_launches() {
    for folder in [demo(), golden("dsv2"), golden("dsv2lite"), golden("dsv3")] {
        for launches in layers(&mut runner(&folder)) {
            let most = if launches.ends_with(&["expert_down"]) {
                10
            } else {
                8
            };
            let what = folder.display();
            assert!(launches.len() <= most, "{what}: {launches:?}");
        }
    }
}

#[test]
fn layers_of_dense_models_are_six_launches() {
    for family in ["qwen2", "qwen3", "llama"] {
        for launches in layers(&mut runner(&golden(family))) {
            assert!(launches.len() <= 6, "{family}: {launches:?}");
        }
    }
}

#[test]
fn a_decode_step_is_one_submit() {
    let mut runner = runner(&demo());
    for position in 0..12 {
        run(&mut runner, &decode_step(position), Want::TOKENS);
    }
    let recording = runner.prepare(&decode_step(12), Want::TOKENS);
    // SwiftShader alone may need longer than a submit should take.
    if common::options()
        .device
        .is_none_or(|device| !device.to_lowercase().contains("swiftshader"))
    {
        assert_eq!(recording.submits(), 1);
    }
}

#[test]
fn a_prompt_takes_the_grouped_path_in_every_layer() {
    let mut runner = runner(&demo());
    let prompt = [Span {
        tokens: vec![30; 40],
        start: 0,
        blocks: (0..8).collect(),
        outputs: 1,
    }];
    let recording = runner.prepare(&prompt, Want::TOKENS);
    let count = |name: &str| recording.kernels().filter(|&kernel| kernel == name).count();
    assert_eq!(count("group_by_expert"), 3, "layers with experts");
    assert_eq!(count("expert_gate_up_grouped"), 3);
    assert_eq!(count("expert_matmul"), 3);
    assert_eq!(
        count("expert_gate_up") + count("matmul"),
        1,
        "only the head runs for few rows"
    );
}

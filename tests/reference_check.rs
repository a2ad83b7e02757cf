//! The reference models against what Hugging Face transformers computed.

mod reference;

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use reference::assert_close;
use reference::golden::{FAMILIES, Golden};
use reference::model::{Attention, Output, ReferenceModel};
use reference::tensors::read_checkpoint;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// transformers computes in f32, so its logits are off by a few times 1e-6.
const LOGITS_TOLERANCE: f32 = 2e-4;
/// Closer choices than this may fall differently in f32.
const ROUTE_MARGIN: f64 = 1e-4;

#[test]
fn logits_equal_transformers() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let model = ReferenceModel::open(&golden.folder);
        let output = model.forward(&golden.tokens(), Attention::Absorbed);
        for name in ["logits", "logits_decode"] {
            assert_close(
                &output.logits.concat(),
                &golden.floats(name),
                LOGITS_TOLERANCE,
                &format!("{family} {name}"),
            );
        }
        for (layer, hidden) in output.hidden.iter().enumerate() {
            let name = match layer {
                last if last == model.config.num_hidden_layers => "hidden.final".to_owned(),
                layer => format!("hidden.{layer}"),
            };
            assert_close(
                hidden,
                &golden.floats(&name),
                LOGITS_TOLERANCE,
                &format!("{family} {name}"),
            );
        }
        check_routes(&output, &golden, family);
    }
}

fn check_routes(output: &Output, golden: &Golden, family: &str) {
    for (layer, routes) in output.routes.iter().enumerate() {
        let weights = golden.floats(&format!("route.{layer}.weight"));
        let golden_weights = weights.chunks(weights.len() / routes.len());
        for ((route, experts), weights) in
            routes.iter().zip(golden.routes(layer)).zip(golden_weights)
        {
            assert!(
                route.margin > ROUTE_MARGIN,
                "{family}, MoE layer {layer}: a choice that f32 may turn"
            );
            assert_eq!(route.set(), experts, "{family}, MoE layer {layer}");
            let mut chosen = route.experts.clone();
            chosen.sort_by_key(|&(expert, _)| expert);
            let chosen: Vec<f32> = chosen
                .into_iter()
                .map(|(_, weight)| weight as f32)
                .collect();
            assert_close(
                &chosen,
                weights,
                1e-4,
                &format!("{family}, weights of MoE layer {layer}"),
            );
        }
    }
}

#[test]
fn absorbed_attention_equals_naive() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let model = ReferenceModel::open(&golden.folder);
        let absorbed = model.forward(&golden.tokens(), Attention::Absorbed);
        let naive = model.forward(&golden.tokens(), Attention::Naive);
        assert_close(
            &absorbed.logits.concat(),
            &naive.logits.concat(),
            1e-6,
            family,
        );
    }
}

#[test]
fn greedy_continuations_equal_transformers() {
    for family in FAMILIES {
        let golden = Golden::open(family);
        let (prompt, expected) = (golden.tokens().len(), golden.greedy());
        let logits = ReferenceModel::open(&golden.folder)
            .forward(&expected, Attention::Absorbed)
            .logits;
        let chosen: Vec<u32> = logits
            .iter()
            .map(|row| reference::argmax(row) as u32)
            .collect();
        assert_eq!(
            chosen[prompt - 1..expected.len() - 1],
            expected[prompt..],
            "{family}"
        );
    }
}

#[test]
fn draft_logits_equal_the_oracle() {
    let golden = Golden::open("dsv3");
    let output =
        ReferenceModel::open(&golden.folder).forward(&golden.tokens(), Attention::Absorbed);
    let draft = output.draft_logits.unwrap().concat();
    assert_close(
        &draft,
        &golden.floats("mtp_logits"),
        LOGITS_TOLERANCE,
        "dsv3",
    );
}

#[test]
fn one_token_is_enough() {
    let golden = Golden::open("dsv3");
    let output =
        ReferenceModel::open(&golden.folder).forward(&golden.tokens()[..1], Attention::Naive);
    assert_eq!(
        (output.logits.len(), output.draft_logits.unwrap().len()),
        (1, 0)
    );
    let expected = golden.floats("logits");
    assert_close(
        &output.logits[0],
        &expected[..output.logits[0].len()],
        LOGITS_TOLERANCE,
        "dsv3",
    );
}

#[test]
fn the_older_spelling_of_the_config_means_the_same() {
    let golden = Golden::open("dsv3");
    let model = ReferenceModel::open_with(&golden.folder, "config-legacy.json");
    assert!(model.config.rope_parameters.is_none() && model.config.rope_scaling.is_some());
    let output = model.forward(&golden.tokens(), Attention::Absorbed);
    assert_close(
        &output.logits.concat(),
        &golden.floats("logits"),
        LOGITS_TOLERANCE,
        "dsv3",
    );
}

/// Only distances between tokens matter, so far out the logits are those of position 0. transformers'
/// f32 angles are off by several 1e-3 there, and its logits with them.
#[test]
fn far_positions_change_nothing() {
    let golden = Golden::open("dsv3");
    let model = ReferenceModel::open(&golden.folder);
    let tokens = &golden.tokens()[..6];
    let near = model.forward(tokens, Attention::Absorbed).logits.concat();
    let far = model
        .forward_at(tokens, 100_000, Attention::Absorbed)
        .logits
        .concat();
    assert_close(&far, &near, 1e-6, "far and near");
    assert_close(
        &far,
        &golden.floats("logits_far"),
        5e-3,
        "far and transformers",
    );
}

#[test]
fn sharded_checkpoints_of_every_float_are_read() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference_shards");
    fs::create_dir_all(&folder).unwrap();
    let values = [1.5_f32, -0.25, 0.0];
    let shards = [
        (
            "one",
            Dtype::F32,
            values.map(|v| v.to_le_bytes().to_vec()).concat(),
        ),
        (
            "two",
            Dtype::BF16,
            values
                .map(|v| bf16::from_f32(v).to_le_bytes().to_vec())
                .concat(),
        ),
        (
            "three",
            Dtype::F16,
            values
                .map(|v| f16::from_f32(v).to_le_bytes().to_vec())
                .concat(),
        ),
    ];
    for (name, dtype, bytes) in &shards {
        let view = TensorView::new(*dtype, vec![3], bytes).unwrap();
        safetensors::serialize_to_file([(name, view)], None, &folder.join(name)).unwrap();
    }
    let index = r#"{"weight_map": {"one": "one", "two": "two", "three": "three"}}"#;
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();

    let tensors = read_checkpoint(&folder);
    assert_eq!(tensors.len(), shards.len());
    for values in tensors.values() {
        assert_eq!(*values, [1.5, -0.25, 0.0]);
    }
}

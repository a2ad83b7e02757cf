//! Loading streams: the host never holds much more of a checkpoint than a slab of it.
//!
//! The only test of its process, since it measures the process's memory.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use tiefsee::checkpoint::{Checkpoint, Folder};
use tiefsee::models::{Loader, Progress, WeightOptions, architecture};

const MIB: u64 = 1 << 20;
/// What loading may take besides the largest tensor.
const ALLOWANCE: u64 = 64 * MIB;

const HIDDEN: usize = 512;
const VOCABULARY: usize = 40_000;
const INTERMEDIATE: usize = 24_000;

/// Names and shapes of a model with one dense layer and huge tensors.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let attention = [
        ("q_proj", vec![4 * 48, HIDDEN]),
        ("kv_a_proj_with_mqa", vec![80, HIDDEN]),
        ("kv_b_proj", vec![4 * 64, 64]),
        ("o_proj", vec![HIDDEN, 4 * 32]),
    ];
    let mlp = [
        ("gate_proj", vec![INTERMEDIATE, HIDDEN]),
        ("up_proj", vec![INTERMEDIATE, HIDDEN]),
        ("down_proj", vec![HIDDEN, INTERMEDIATE]),
    ];
    let layer = "model.layers.0";
    let mut all = vec![
        ("model.embed_tokens.weight".into(), vec![VOCABULARY, HIDDEN]),
        (format!("{layer}.input_layernorm.weight"), vec![HIDDEN]),
        (
            format!("{layer}.post_attention_layernorm.weight"),
            vec![HIDDEN],
        ),
        (format!("{layer}.self_attn.kv_a_layernorm.weight"), vec![64]),
        ("model.norm.weight".into(), vec![HIDDEN]),
        ("lm_head.weight".into(), vec![VOCABULARY, HIDDEN]),
    ];
    all.extend(attention.map(|(name, shape)| (format!("{layer}.self_attn.{name}.weight"), shape)));
    all.extend(mlp.map(|(name, shape)| (format!("{layer}.mlp.{name}.weight"), shape)));
    all
}

fn bytes(shape: &[usize]) -> u64 {
    2 * shape.iter().product::<usize>() as u64
}

fn write_checkpoint(folder: &Path) {
    let config = serde_json::json!({
        "model_type": "deepseek_v2", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": 1, "num_attention_heads": 4,
        "q_lora_rank": null, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
        "v_head_dim": 32, "max_position_embeddings": 64,
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("to write config.json");
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors() {
        let begin = end;
        end += bytes(&shape);
        header.insert(
            name,
            serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file =
        fs::File::create(folder.join("model.safetensors")).expect("to create the weights");
    file.write_all(&(header.len() as u64).to_le_bytes())
        .expect("to write");
    file.write_all(header.as_bytes()).expect("to write");
    // 0.5 in bf16.
    let half = [0x00, 0x3f].repeat(MIB as usize / 2);
    for at in (0..end).step_by(half.len()) {
        file.write_all(&half[..half.len().min((end - at) as usize)])
            .expect("to write");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn loading_holds_one_tensor_at_most() {
    let folder = std::env::temp_dir().join(format!("tiefsee-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    write_checkpoint(&folder);
    let gpu = common::open();
    let device_is_host = gpu.tiers.software;
    // Resets the peak to what is in use now.
    fs::write("/proc/self/clear_refs", "5").expect("to reset the peak");
    let before = common::process_bytes("VmRSS");

    let total = std::cell::Cell::new(Progress {
        loaded: 0,
        total: 0,
    });
    let model = pollster::block_on(async {
        let checkpoint =
            Checkpoint::open(Rc::new(Folder::open(&folder).expect("the folder"))).await?;
        let tell = |progress| total.set(progress);
        let loader = Loader::new(&gpu, &checkpoint, WeightOptions::default(), &tell);
        let model = (architecture(&checkpoint)?.load)(&loader).await?;
        gpu.flush().await?;
        Ok::<_, tiefsee::Error>(model)
    })
    .expect("a model");
    let peak = common::process_bytes("VmHWM");
    fs::remove_dir_all(&folder).expect("to clean up");

    let Progress { loaded, total } = total.get();
    assert_eq!(loaded, total, "progress ends at the whole");
    let shapes = tensors();
    let largest = shapes
        .iter()
        .map(|(_, shape)| bytes(shape))
        .max()
        .expect("tensors");
    let checkpoint: u64 = shapes.iter().map(|(_, shape)| bytes(shape)).sum();
    // On a processor the device's memory is the process's own.
    let device = if device_is_host { checkpoint } else { 0 };
    let host = (peak - before).saturating_sub(device);
    println!(
        "host memory at its peak: {} MiB for a checkpoint of {} MiB, largest tensor {} MiB",
        host / MIB,
        checkpoint / MIB,
        largest / MIB
    );
    assert!(
        host <= largest + ALLOWANCE,
        "{} MiB at the peak",
        host / MIB
    );
    assert!(
        checkpoint > largest + ALLOWANCE,
        "the checkpoint must be larger than what is allowed"
    );
    drop(model);
}

//! Models written in another format.

use std::fs;

use safetensors::Dtype;
use serde_json::Value;
use tiefsee::checkpoint::{NewTensor, safetensors_header};

use crate::{Folder, ended, golden, interrupted, on_device, tiefsee};

fn answer(model: &str) -> String {
    let arguments = ["run", model, "What is 27 + 48?", "--temperature", "0"];
    ended(&mut on_device(&arguments)).done()
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("the folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_written_loads_and_answers() {
    let folder = Folder::new("quantize");
    let (file, other) = (folder.file("demo-q8_0.gguf"), folder.file("demo-q8_0"));
    let written = ended(&mut tiefsee(&["quantize", "demo", &file, "Q8_0"]));
    assert!(
        written.stderr.contains("demo-q8_0.gguf: q8_0, "),
        "{}",
        written.stderr
    );
    assert_eq!(written.done(), "");
    ended(&mut tiefsee(&["quantize", &file, &other, "q8_0"])).done();
    for model in [&file, &other] {
        assert!(answer(model).contains("The answer is 75."), "{model}");
    }
    assert_eq!(files(&folder), ["demo-q8_0", "demo-q8_0.gguf"]);
    let inspected = ended(&mut tiefsee(&["inspect", &other])).done();
    assert!(inspected.contains("Q8_0"), "{inspected}");
}

#[test]
fn a_dry_run_tells_the_size_and_writes_nothing() {
    let folder = Folder::new("dry");
    let file = folder.file("demo.gguf");
    let arguments = ["quantize", "demo", &file, "q4_0", "--dry-run"];
    let told = ended(&mut tiefsee(&arguments)).done();
    assert!(told.contains("q4_0") && told.contains("f32"), "{told}");
    assert_eq!(files(&folder), [""; 0]);
    ended(&mut tiefsee(&arguments[..4])).done();
    let size = fs::metadata(&file).expect("the file").len();
    let total = format!("{:.2} MiB", size as f64 / f64::from(1 << 20));
    assert!(told.contains(&total), "{told} is not {total}");
}

#[test]
fn what_is_there_stays_unless_forced() {
    let folder = Folder::new("taken");
    let (file, other) = (folder.file("out.gguf"), folder.file("out"));
    fs::write(&file, "precious").expect("a file");
    fs::create_dir(&other).expect("a folder");
    fs::write(folder.file("out/chat_template.jinja"), "of another model").expect("a file");
    for output in [&file, &other] {
        let arguments = ["quantize", "demo", output, "q8_0"];
        let refused = ended(&mut tiefsee(&arguments)).failed(2);
        assert!(refused.contains("--force"), "{refused}");
        ended(tiefsee(&arguments).arg("--force")).done();
        assert!(answer(output).contains("The answer is 75."), "{output}");
    }
    let own = ended(&mut tiefsee(&[
        "quantize", &other, &other, "f16", "--force",
    ]))
    .failed(2);
    assert!(own.contains("is what is to be read"), "{own}");
    // A folder's only model, under its own name.
    let only = folder.file("only");
    fs::create_dir(&only).expect("a folder");
    let model = folder.file("only/model.gguf");
    fs::copy(&file, &model).expect("a copy");
    let arguments = ["quantize", &only, &model, "q4_0", "--force"];
    let own = ended(&mut tiefsee(&arguments)).failed(2);
    assert!(own.contains("is what is to be read"), "{own}");
    fs::remove_dir_all(&only).expect("a folder");
    let wrong = ended(&mut tiefsee(&["quantize", "demo", &file, "f16"])).failed(2);
    assert!(wrong.contains("exists already"), "{wrong}");
    assert_eq!(files(&folder), ["out", "out.gguf"]);
}

#[test]
fn a_file_that_cannot_take_its_place_leaves_the_old_weights() {
    let folder = Folder::new("stuck");
    let output = folder.file("out");
    fs::create_dir_all(folder.file("out/config.json")).expect("a folder in the way");
    fs::write(folder.file("out/model.safetensors"), "old").expect("a file");
    let arguments = ["quantize", "demo", &output, "q8_0", "--force"];
    let stuck = ended(&mut tiefsee(&arguments)).failed(3);
    assert!(stuck.contains("config.json"), "{stuck}");
    assert!(stuck.contains("new already: "), "{stuck}");
    assert!(stuck.contains("tokenizer.json"), "{stuck}");
    let weights = fs::read(folder.file("out/model.safetensors"));
    assert_eq!(weights.expect("the weights"), b"old");
    let entries = fs::read_dir(&output).expect("the folder");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    assert!(names.all(|name| !name.to_string_lossy().ends_with(".part")));
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let folder = Folder::new("senseless");
    let (file, other) = (folder.file("out.gguf"), folder.file("out"));
    let refused = |arguments: &[&str], status, what: &str| {
        let refused = ended(&mut tiefsee(&[&["quantize"], arguments].concat())).failed(status);
        assert!(refused.contains(what), "{refused}");
    };
    refused(
        &["demo", &file, "q3"],
        2,
        "no type is called \"q3\"; there is f32, f16, q4_0",
    );
    refused(&["/no/such/model", &file, "q8_0"], 3, "/no/such/model");
    refused(
        &["demo", "/no/such/folder/out.gguf", "q8_0"],
        3,
        "no such folder",
    );
    // Data that is not there is noticed only when it is read.
    let model = Folder::with_demo("senseless-model");
    let weights = model.file("model.safetensors");
    let mut bytes = fs::read(&weights).expect("the weights");
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0x80, 0x7f]);
    fs::write(&weights, bytes).expect("the weights");
    for output in [&file, &other] {
        refused(&[model.path(), output, "q8_0"], 4, "is not finite");
    }
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn what_contradicts_its_configuration_is_refused() {
    let folder = Folder::new("contradicting");
    let (file, other) = (folder.file("out.gguf"), folder.file("out"));
    let model = Folder::with_demo("contradicting-model");
    let path = model.file("config.json");
    let text = fs::read_to_string(&path).expect("the configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let width = config["intermediate_size"].as_u64().expect("a count");
    config["intermediate_size"] = (width + 8).into();
    fs::write(&path, config.to_string()).expect("the configuration");
    for arguments in [&[file.as_str()][..], &[&other], &[&file, "--dry-run"]] {
        let mut command = tiefsee(&["quantize", model.path(), arguments[0], "q8_0"]);
        let refused = ended(command.args(&arguments[1..])).failed(4);
        assert!(refused.contains("_proj.weight"), "{refused}");
    }
    assert_eq!(files(&folder), [""; 0]);
}

/// A model of zeros, which takes no room, with a huge table of embeddings.
fn sparse(folder: &Folder) {
    let config = format!("{}/config.json", golden("llama"));
    let config = fs::read_to_string(config).expect("the configuration");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    let (rows, width) = (400_000, 1024);
    config["vocab_size"] = rows.into();
    config["hidden_size"] = width.into();
    config["num_hidden_layers"] = 1.into();
    config["tie_word_embeddings"] = true.into();
    fs::write(folder.file("config.json"), config.to_string()).expect("the configuration");
    let layer = "model.layers.0";
    let tensors = [
        ("model.embed_tokens".to_owned(), vec![rows, width]),
        ("model.norm".to_owned(), vec![width]),
        (format!("{layer}.input_layernorm"), vec![width]),
        (format!("{layer}.post_attention_layernorm"), vec![width]),
        (format!("{layer}.self_attn.q_proj"), vec![48, width]),
        (format!("{layer}.self_attn.k_proj"), vec![16, width]),
        (format!("{layer}.self_attn.v_proj"), vec![16, width]),
        (format!("{layer}.self_attn.o_proj"), vec![width, 48]),
        (format!("{layer}.mlp.gate_proj"), vec![80, width]),
        (format!("{layer}.mlp.up_proj"), vec![80, width]),
        (format!("{layer}.mlp.down_proj"), vec![width, 80]),
    ];
    let tensors = tensors.map(|(module, shape)| NewTensor {
        name: format!("{module}.weight"),
        dtype: Dtype::BF16,
        shape,
    });
    let header = safetensors_header(&tensors);
    let numbers = tensors
        .iter()
        .map(|tensor| tensor.shape.iter().product::<usize>());
    let bytes = header.len() + 2 * numbers.sum::<usize>();
    let file = folder.file("model.safetensors");
    fs::write(&file, &header).expect("the header");
    let file = fs::OpenOptions::new().write(true).open(&file);
    let grown = file.expect("the file").set_len(bytes as u64);
    grown.expect("a file with holes");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_leaves_what_was_there() {
    let (model, folder) = (Folder::new("sparse"), Folder::new("interrupted"));
    sparse(&model);
    let file = folder.file("out.gguf");
    fs::write(&file, "precious").expect("a file");
    let mut command = tiefsee(&["quantize", model.path(), &file, "q4_0", "--force"]);
    let ended = interrupted(&mut command, &folder);
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    assert_eq!(files(&folder), ["out.gguf"]);
    assert_eq!(fs::read(&file).expect("the file"), b"precious");
}

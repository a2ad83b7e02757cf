//! What goes wrong for a user's reasons: a message, the right exit status, never a panic.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Folder, ended, on_device, tiefsee};

/// Presses Ctrl-C.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("there is a kill program").success());
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["frobnicate"][..],
        &["run", "demo", "a", "b"],
        &["--frobnicate"],
        &["run", "demo", "a", "--ctx", "0"],
        &["run", "demo", "a", "--ctx", "many"],
        &["run", "demo", "a", "--max-tokens", "0"],
        &["run", "demo", "a", "--temperature", "-1"],
        &["run", "demo", "a", "--temperature", "NaN"],
        &["run", "demo", "a", "--top-p", "0"],
        &["run", "demo", "a", "--stop", ""],
        &["run", "demo", "a", "--quantize", "q5_q"],
        &["run", "demo", "a", "--cache-type", "q4_0"],
        &["run", "demo", "a", "--json", "--json-stream"],
        &["run", "demo", "a", "--interactive"],
        &["completions", "tcsh"],
        &["logits", "demo", "--tokens", "1"],
    ] {
        ended(&mut tiefsee(arguments)).failed(2);
    }
    let quantize = ended(&mut tiefsee(&["run", "demo", "a", "--quantize", "q5_q"])).failed(2);
    assert!(
        quantize.contains("f32, f16, bf16, ") && quantize.contains("q4_k"),
        "{quantize}"
    );
    let cache = ended(&mut tiefsee(&["run", "demo", "a", "--cache-type", "q4_0"])).failed(2);
    assert!(cache.contains("f32, f16, q8_0"), "{cache}");
}

#[test]
fn sizes_that_the_model_refuses_end_with_2() {
    let long = ended(&mut on_device(&["run", "demo", "a", "--ctx", "2049"])).failed(2);
    assert!(long.contains("longer than the 2048"), "{long}");
    let prompt = ended(&mut on_device(&[
        "run",
        "demo",
        "What is 27 + 48?",
        "--ctx",
        "8",
    ]))
    .failed(2);
    assert!(
        prompt.contains("the prompt has 16 tokens, but the context holds 8"),
        "{prompt}"
    );
}

#[test]
fn missing_models_end_with_3() {
    let missing = ended(&mut tiefsee(&["run", "no/such/folder", "a"])).failed(3);
    assert!(
        missing.contains("no/such/folder: no such model folder"),
        "{missing}"
    );
    let folder = Folder::with_demo("missing");
    for file in ["tokenizer.json", "model.safetensors", "config.json"] {
        std::fs::remove_file(folder.file(file)).expect("the file is there");
        let message = ended(&mut tiefsee(&["run", folder.path(), "a"])).failed(3);
        assert!(message.contains(file), "{message}");
    }
}

#[test]
fn a_model_without_a_template_says_what_works_without() {
    let folder = Folder::with_demo("untemplated");
    std::fs::remove_file(folder.file("tokenizer_config.json")).expect("the file is there");
    let refused = ended(&mut on_device(&["run", folder.path(), "a"])).failed(3);
    assert!(refused.contains("--raw works without one"), "{refused}");
    ended(&mut on_device(&[
        "run",
        folder.path(),
        "a",
        "--raw",
        "--max-tokens",
        "1",
    ]))
    .done();
}

#[test]
fn damaged_models_end_with_4_at_once() {
    let folder = Folder::with_demo("damaged");
    let weights = std::fs::read(folder.file("model.safetensors")).expect("it was copied");
    let check = |what: &str| {
        for command in ["run", "inspect"] {
            let started = Instant::now();
            let message =
                ended(tiefsee(&[command, folder.path()]).args((command == "run").then_some("a")))
                    .failed(4);
            assert!(message.contains(what), "{message}");
            assert!(
                started.elapsed() < Duration::from_secs(1),
                "{command} took {:?}",
                started.elapsed()
            );
        }
    };
    for length in [0, 7, 100, weights.len() / 2, weights.len() - 1] {
        std::fs::write(folder.file("model.safetensors"), &weights[..length])
            .expect("it can be written");
        check("model.safetensors");
    }
    std::fs::write(
        folder.file("model.safetensors"),
        [&[255; 8], &weights[8..]].concat(),
    )
    .expect("it can be written");
    check("model.safetensors");
    std::fs::write(folder.file("model.safetensors"), &weights).expect("it can be written");
    std::fs::write(folder.file("config.json"), "{\"model_type\": ").expect("it can be written");
    check("config.json");
}

#[test]
fn what_is_not_supported_ends_with_4() {
    let gguf = ended(&mut tiefsee(&["run", "model.gguf", "a"])).failed(3);
    assert!(gguf.contains("model.gguf: no such file"), "{gguf}");
    let folder = Folder::with_demo("unknown");
    let config = std::fs::read_to_string(folder.file("config.json")).expect("it was copied");
    std::fs::write(
        folder.file("config.json"),
        config.replace("deepseek_v3", "gpt_neox"),
    )
    .expect("it can be written");
    let unknown = ended(&mut tiefsee(&["run", folder.path(), "a"])).failed(4);
    assert!(
        unknown.contains("\"gpt_neox\" is not supported; there is deepseek_v3"),
        "{unknown}"
    );
}

#[test]
fn unknown_devices_end_with_5_and_the_known_ones() {
    let unknown = ended(&mut tiefsee(&["run", "demo", "a", "--device", "abacus"])).failed(5);
    assert!(unknown.contains("\"abacus\". Adapters: 0: "), "{unknown}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_driver_at_all_ends_with_5_and_the_package() {
    let mut command = tiefsee(&["run", "demo", "a"]);
    command
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    let message = ended(&mut command).failed(5);
    assert!(message.contains("mesa-vulkan-drivers"), "{message}");
}

#[test]
fn a_software_adapter_is_never_taken_silently() {
    let answer = |arguments: &[&str]| {
        let mut command = tiefsee(&["run", "demo", "a", "--max-tokens", "1", "--json"]);
        let ended = ended(command.args(arguments));
        (
            ended.stderr.contains("warning: no GPU was found"),
            ended.done(),
        )
    };
    let (warned, text) = answer(&[]);
    let object: serde_json::Value = serde_json::from_str(&text).expect("it is one object");
    let device = object["device"].as_str().expect("the device has a name");
    let is_software = device.contains("llvmpipe") || device.contains("SwiftShader");
    assert_eq!(warned, is_software, "{device}");
    // Asked for by name, it is what the user wants.
    assert!(!answer(&["--device", device]).0);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut command = on_device(&[
        "run",
        "demo",
        "What is 27 + 48?",
        "--think",
        "show",
        "--temperature",
        "0",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    stdout.read_exact(&mut [0]).expect("an answer begins");
    drop(stdout);
    let ended = crate::Ended::from(child.wait_with_output().expect("the program ends"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("panicked") && !ended.stderr.contains("Broken"),
        "{}",
        ended.stderr
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_answer_ends_with_130() {
    let mut command = on_device(&[
        "run",
        "demo",
        "--raw",
        "a",
        "--temperature",
        "50",
        "--top-p",
        "1",
        "--seed",
        "10",
    ]);
    command
        .args(["--max-tokens", "1900", "--json-stream"])
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    lines.next().expect("an answer begins").expect("it is text");
    interrupt(&child);
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("the program ends").code(), Some(130));
    // Whole lines until then, and no end.
    for line in &rest {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{line}"
        );
        assert!(!line.contains("finish_reason"), "{line}");
    }
}

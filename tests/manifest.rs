//! The hashes of a model's files: written, checked, and what is wrong found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "tiefsee-manifest.json";

/// A copy of the bundled model that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tiefsee-manifest-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model");
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(demo.join(file), path.join(file)).expect("a copy");
        }
        Self(path)
    }

    fn run(&self, flags: &[&str]) -> (Option<i32>, String) {
        run(&self.0, flags)
    }

    fn manifest(&self) -> Value {
        let text = fs::read_to_string(self.0.join(MANIFEST)).expect("a manifest");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn run(model: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_tiefsee"))
        .arg("manifest")
        .arg(model)
        .args(flags)
        .output()
        .expect("the program");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_gguf_file_has_a_manifest_beside_it() {
    let folder = Folder::new("gguf");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf/qwen2.gguf");
    let file = folder.0.join("q.gguf");
    fs::copy(golden, &file).expect("a copy");
    assert_eq!(run(&file, &[]).0, Some(0));
    let manifest = folder.manifest();
    let files = manifest["files"].as_object().expect("files");
    assert_eq!(files.keys().collect::<Vec<_>>(), ["q.gguf"]);
    assert_eq!(run(&file, &["--check"]).0, Some(0));
}

#[test]
fn a_manifest_has_every_chunks_hash() {
    let folder = Folder::new("written");
    assert_eq!(folder.run(&[]).0, Some(0));
    let manifest = folder.manifest();
    assert_eq!(manifest["version"], 1);
    assert_eq!(manifest["chunk_bytes"], 4 << 20);
    let names: Vec<_> = manifest["files"]
        .as_object()
        .expect("files")
        .keys()
        .collect();
    assert_eq!(
        names,
        ["config.json", "model.safetensors", "tokenizer.json"]
    );
    let weights = &manifest["files"]["model.safetensors"];
    let bytes = fs::read(folder.0.join("model.safetensors")).expect("weights");
    assert_eq!(weights["size"], bytes.len());
    let hash = |chunk: &[u8]| {
        Sha256::digest(chunk)
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    let hashes: Vec<_> = bytes.chunks(4 << 20).map(hash).collect();
    assert_eq!(hashes.len(), 2);
    assert_eq!(weights["sha256"], json!(hashes));
    assert_eq!(folder.run(&["--check"]).0, Some(0));
}

#[test]
fn a_manifest_is_overwritten_only_by_force() {
    let folder = Folder::new("force");
    assert_eq!(folder.run(&[]).0, Some(0));
    let (status, said) = folder.run(&[]);
    assert_eq!(status, Some(2));
    assert!(
        said.contains("exists already; --force overwrites it"),
        "{said}"
    );
    assert_eq!(folder.run(&["--force"]).0, Some(0));
}

#[test]
fn what_differs_is_named() {
    let folder = Folder::new("differs");
    let (status, said) = folder.run(&["--check"]);
    assert_eq!(status, Some(3), "{said}");
    assert_eq!(folder.run(&[]).0, Some(0));

    let weights = folder.0.join("model.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&weights, &bytes).expect("written");
    let (status, said) = folder.run(&["--check"]);
    assert_eq!(status, Some(4));
    assert!(
        said.contains("model.safetensors: bytes 4194304 to 5098528"),
        "{said}"
    );

    fs::remove_file(folder.0.join("tokenizer.json")).expect("removed");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&weights, &bytes).expect("written");
    let (status, said) = folder.run(&["--check"]);
    assert_eq!(status, Some(4));
    assert!(said.contains("tokenizer.json: no such file"), "{said}");
}

#[test]
fn damaged_manifests_are_told_from_damaged_files() {
    let folder = Folder::new("damaged");
    for (text, said) in [
        ("{", "EOF"),
        (
            r#"{"version":2,"chunk_bytes":4194304,"files":{}}"#,
            "version 2",
        ),
        (
            r#"{"version":1,"chunk_bytes":1,"files":{}}"#,
            "chunks of 1 bytes",
        ),
        (r#"{"version":1,"chunk_bytes":4194304}"#, "files"),
        (
            r#"{"version":1,"chunk_bytes":4194304,"files":{"../x":{"size":1,"sha256":[]}}}"#,
            "../x: no such file",
        ),
    ] {
        fs::write(folder.0.join(MANIFEST), text).expect("written");
        let (status, output) = folder.run(&["--check"]);
        assert_eq!(status, Some(4), "{output}");
        assert!(output.contains(said), "{output}");
    }
}

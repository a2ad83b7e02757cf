//! What was written is what is read.

use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use half::{bf16, f16};
use pollster::block_on;
use tiefsee::checkpoint::{Checkpoint, Embedded, Folder, Source};

use crate::files::{Files, assert_fails, f32_bytes, safetensors};

/// Exact in every type; the last are f16 subnormals.
const VALUES: [f32; 12] = {
    let least = 1.0 / 16_777_216.0;
    [
        0.0,
        -0.0,
        1.0,
        -1.5,
        2.0,
        100.0,
        -128.0,
        0.25,
        3.0,
        -7.0,
        least,
        -3.0 * least,
    ]
};

fn bytes_of<const N: usize>(encode: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    VALUES.into_iter().flat_map(encode).collect()
}

fn every_float() -> Vec<u8> {
    safetensors(&[
        (
            "a.f64",
            "F64",
            &[4, 3],
            bytes_of(|value| f64::from(value).to_le_bytes()),
        ),
        ("a.f32", "F32", &[4, 3], bytes_of(f32::to_le_bytes)),
        // One byte puts what follows at odd offsets.
        ("odd", "U8", &[1], vec![255]),
        (
            "a.f16",
            "F16",
            &[4, 3],
            bytes_of(|value| f16::from_f32(value).to_le_bytes()),
        ),
        (
            "a.bf16",
            "BF16",
            &[4, 3],
            bytes_of(|value| bf16::from_f32(value).to_le_bytes()),
        ),
    ])
}

#[test]
fn rows_are_what_was_written_in_every_type() {
    let checkpoint = Files::single(every_float()).open().unwrap();
    let scope = checkpoint.root().enter("a");
    for name in ["f64", "f32", "f16", "bf16"] {
        let tensor = scope.tensor(name, &[4, 3]).unwrap();
        assert_eq!((tensor.rows(), tensor.columns()), (4, 3));
        assert_eq!(block_on(tensor.read_all()).unwrap(), VALUES, "{name}");
        for start in 0..=4 {
            for end in start..=4 {
                let rows = block_on(tensor.read_rows(start..end)).unwrap();
                assert_eq!(rows, VALUES[3 * start..3 * end], "{name}, {start}..{end}");
            }
        }
        let bytes = block_on(tensor.read_row_bytes(0..4)).unwrap();
        assert_eq!(bytes.len() as u64, tensor.bytes());
    }
    let tensor = scope.tensor("f32", &[4, 3]).unwrap();
    assert_eq!(
        block_on(tensor.read_row_bytes(1..2)).unwrap(),
        f32_bytes(&VALUES[3..6])
    );
}

#[test]
fn what_is_listed_is_what_there_is() {
    let checkpoint = Files::single(every_float()).open().unwrap();
    let tensors: Vec<_> = checkpoint.tensors().collect();
    let names: Vec<_> = tensors.iter().map(|tensor| tensor.name).collect();
    assert_eq!(names, ["a.bf16", "a.f16", "a.f32", "a.f64", "odd"]);
    assert_eq!(checkpoint.bytes(), 12 * (8 + 4 + 2 + 2) + 1);
    assert_eq!(tensors[0].encoding.to_string(), "BF16");
    assert_eq!(tensors[0].shape, [4, 3]);
}

#[test]
fn scopes_join_names() {
    let tensor = (
        "model.layers.3.weight",
        "F32",
        &[2][..],
        f32_bytes(&[1.0, 2.0]),
    );
    let checkpoint = Files::single(safetensors(&[tensor])).open().unwrap();
    let layers = checkpoint.root().enter("model").enter("layers");
    assert!(layers.enter(3).has("weight"));
    assert!(layers.has("3.weight"));
    assert!(!layers.enter(2).has("weight"));
    assert!(!layers.enter(3).has(""));

    let tensor = layers.enter(3).tensor("weight", &[2]).unwrap();
    assert_eq!((tensor.rows(), tensor.columns()), (1, 2));
    let wrong_shape = layers.enter(3).tensor("weight", &[1, 2]);
    assert_fails(
        wrong_shape,
        4,
        &["model.layers.3.weight", "[2]", "[1, 2]", "config.json"],
    );
    let missing = layers.enter(4).tensor("weight", &[2]);
    assert_fails(
        missing,
        4,
        &["model.layers.4.weight", "config.json", "model.safetensors"],
    );
}

#[test]
fn odd_shapes_have_rows() {
    let checkpoint = Files::single(safetensors(&[
        (
            "cube",
            "F32",
            &[2, 3, 1],
            f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ),
        ("empty", "F32", &[0, 5], vec![]),
        ("scalar", "F32", &[], f32_bytes(&[7.0])),
        ("thin", "F32", &[5, 0], vec![]),
    ]));
    let checkpoint = checkpoint.open().unwrap();
    let read = |name: &str| {
        let tensor = checkpoint.tensor(name).unwrap();
        (
            tensor.rows(),
            tensor.columns(),
            block_on(tensor.read_all()).unwrap(),
        )
    };
    assert_eq!(read("cube"), (6, 1, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(read("empty"), (0, 5, vec![]));
    assert_eq!(read("scalar"), (1, 1, vec![7.0]));
    assert_eq!(read("thin"), (5, 0, vec![]));
    assert!(checkpoint.tensor("none").is_none());
}

#[test]
fn numbers_that_are_none_are_found() {
    let f16_bytes = |value: f32| f16::from_f32(value).to_le_bytes();
    let bf16_bytes = |value: f32| bf16::from_f32(value).to_le_bytes();
    // Far enough for the search to pass whole blocks, and odd.
    let (columns, at) = (3, 10_001);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let value = |i| if i == at { bad } else { 65_504.0 };
        let values = || (0..12_000).map(value);
        let shape = &[4_000, columns][..];
        let checkpoint = Files::single(safetensors(&[
            (
                "f64",
                "F64",
                shape,
                values().flat_map(|v| f64::from(v).to_le_bytes()).collect(),
            ),
            (
                "f32",
                "F32",
                shape,
                values().flat_map(f32::to_le_bytes).collect(),
            ),
            ("f16", "F16", shape, values().flat_map(f16_bytes).collect()),
            (
                "bf16",
                "BF16",
                shape,
                values().flat_map(bf16_bytes).collect(),
            ),
        ]));
        let checkpoint = checkpoint.open().unwrap();
        for tensor in checkpoint.tensors() {
            let words = [&format!("`{}`", tensor.name), "element 10001"];
            assert_fails(block_on(tensor.read_all()), 4, &words);
            assert_fails(block_on(tensor.read_row_bytes(2..4_000)), 4, &words);
            assert!(block_on(tensor.read_rows(0..at / columns)).is_ok());
            assert!(block_on(tensor.read_rows(at / columns + 1..4_000)).is_ok());
        }
    }
}

#[test]
fn a_double_beyond_f32_is_no_weight() {
    let bytes = [1.0, 1e39].into_iter().flat_map(f64::to_le_bytes).collect();
    let checkpoint = Files::single(safetensors(&[("x", "F64", &[2], bytes)]))
        .open()
        .unwrap();
    let read = block_on(checkpoint.tensor("x").unwrap().read_all());
    assert_fails(read, 4, &["`x`", "element 1"]);
}

#[test]
fn other_types_are_only_bytes() {
    let checkpoint = Files::single(safetensors(&[
        ("f4", "F4", &[2, 1], vec![0x21]),
        ("f8", "F8_E4M3", &[2, 2], vec![1, 2, 3, 0xff]),
    ]));
    let checkpoint = checkpoint.open().unwrap();
    let f8 = checkpoint.tensor("f8").unwrap();
    assert_eq!(block_on(f8.read_row_bytes(0..1)).unwrap(), [1, 2]);
    assert_fails(block_on(f8.read_row_bytes(1..2)), 4, &["`f8`", "element 3"]);
    // Without scales it says nothing.
    assert_fails(block_on(f8.read_rows(0..1)), 4, &["`f8`", "F8_E4M3"]);
    let f4 = checkpoint.tensor("f4").unwrap();
    assert_fails(
        block_on(f4.read_row_bytes(0..1)),
        4,
        &["`f4`", "whole bytes"],
    );
}

#[test]
fn shards_read_like_a_single_file() {
    let (one, two) = (f32_bytes(&[1.0, 2.0]), f32_bytes(&[3.0]));
    let first = ("first", "F32", &[2][..], one);
    let second = ("second", "F32", &[1][..], two);
    let index = r#"{"metadata":{"total_size":12},
        "weight_map":{"first":"a.safetensors","second":"b.safetensors"}}"#;
    let sharded = Files::default()
        .with("config.json", "{}")
        .with("model.safetensors.index.json", index)
        .with("a.safetensors", safetensors(std::slice::from_ref(&first)))
        // The index does not list everything.
        .with(
            "b.safetensors",
            safetensors(&[second.clone(), ("third", "U8", &[0], vec![])]),
        );
    let single = Files::single(safetensors(&[first, second, ("third", "U8", &[0], vec![])]));
    let contents = |files: Files| -> Vec<_> {
        let checkpoint = files.open().unwrap();
        let tensors = checkpoint.tensors();
        let content = |tensor: tiefsee::checkpoint::StoredTensor| {
            let bytes = block_on(tensor.read_row_bytes(0..tensor.rows())).unwrap();
            (
                tensor.name.to_owned(),
                tensor.encoding,
                tensor.shape.to_vec(),
                bytes,
            )
        };
        tensors.map(content).collect()
    };
    assert_eq!(contents(single), contents(sharded));
}

#[test]
fn texts_are_read_whole() {
    let files = Files::single(safetensors(&[]))
        .with("t.json", "ä")
        .with("bad", [b'x', 0xff]);
    let checkpoint = files.open().unwrap();
    assert_eq!(
        block_on(checkpoint.text("t.json")).unwrap().as_deref(),
        Some("ä")
    );
    assert_eq!(block_on(checkpoint.text("none")).unwrap(), None);
    assert_fails(
        block_on(checkpoint.text("bad")),
        4,
        &["memory/bad", "byte 1"],
    );
}

/// A folder of its own for a test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("tiefsee-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_folder_reads_like_memory() {
    let scratch = Scratch::new("folder");
    fs::write(scratch.0.join("config.json"), r#"{"hidden_size":3}"#).unwrap();
    fs::write(scratch.0.join("model.safetensors"), every_float()).unwrap();
    let folder = Rc::new(Folder::open(&scratch.0).unwrap());
    let checkpoint = block_on(Checkpoint::open(Rc::clone(&folder) as Rc<dyn Source>)).unwrap();
    assert_eq!(checkpoint.config()["hidden_size"], 3);
    // Backwards, so that every read has to seek.
    for start in (0..4).rev() {
        let tensor = checkpoint.root().tensor("a.bf16", &[4, 3]).unwrap();
        let row = block_on(tensor.read_rows(start..start + 1)).unwrap();
        assert_eq!(row, VALUES[3 * start..3 * start + 3]);
    }
    let beyond = folder.read("config.json", 0..1 << 60);
    assert_fails(block_on(beyond), 4, &["config.json", "ends at byte 17"]);
    assert!(block_on(folder.size("none")).unwrap().is_none());
}

#[test]
fn a_file_cut_short_behind_our_back_is_damaged() {
    let scratch = Scratch::new("cut");
    fs::write(scratch.0.join("config.json"), "{}").unwrap();
    let weights = scratch.0.join("model.safetensors");
    fs::write(&weights, every_float()).unwrap();
    let folder = Rc::new(Folder::open(&scratch.0).unwrap());
    let checkpoint = block_on(Checkpoint::open(folder)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&weights).unwrap();
    file.set_len(every_float().len() as u64 - 1).unwrap();
    let read = block_on(checkpoint.tensor("a.bf16").unwrap().read_all());
    assert_fails(read, 4, &["model.safetensors", "ends at byte"]);
}

#[test]
fn a_folder_gives_nothing_outside_it() {
    let scratch = Scratch::new("outside");
    fs::create_dir(scratch.0.join("inside")).unwrap();
    fs::write(scratch.0.join("secret"), "secret").unwrap();
    let folder = Folder::open(scratch.0.join("inside")).unwrap();
    let absolute = scratch.0.join("secret").display().to_string();
    for name in [
        "../secret",
        "..",
        ".",
        "",
        "a/b",
        r"a\b",
        "C:x",
        "a\0",
        absolute.as_str(),
    ] {
        assert_fails(block_on(folder.size(name)), 4, &["no name of a file"]);
        assert_fails(block_on(folder.read(name, 0..1)), 4, &["no name of a file"]);
    }
}

#[test]
fn what_is_no_folder_is_not_found() {
    let scratch = Scratch::new("none");
    fs::write(scratch.0.join("file"), "").unwrap();
    fs::create_dir(scratch.0.join("config.json")).unwrap();
    assert_fails(
        Folder::open(scratch.0.join("none")),
        3,
        &["none", "no such"],
    );
    assert_fails(
        Folder::open(scratch.0.join("file")),
        3,
        &["file", "not a model folder"],
    );
    let folder = Rc::new(Folder::open(&scratch.0).unwrap());
    let open = block_on(Checkpoint::open(folder));
    assert_fails(open, 4, &["config.json", "not a regular file"]);
}

#[test]
fn embedded_files_read_like_a_folder() {
    let embedded = Embedded {
        name: "bundled",
        files: &[("config.json", b"{}"), ("x", b"abc")],
    };
    assert_eq!(block_on(embedded.size("x")).unwrap(), Some(3));
    assert_eq!(block_on(embedded.size("y")).unwrap(), None);
    assert_eq!(block_on(embedded.read("x", 1..3)).unwrap(), b"bc");
    for range in [0..4, 4..5, u64::MAX - 1..u64::MAX] {
        assert_fails(
            block_on(embedded.read("x", range)),
            4,
            &["bundled/x", "ends at byte 3"],
        );
    }
    let open = block_on(Checkpoint::open(Rc::new(embedded)));
    assert_fails(open, 3, &["bundled", "model.safetensors"]);
}

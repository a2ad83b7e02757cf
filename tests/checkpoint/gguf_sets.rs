//! Models in several GGUF files, and where a folder's model is.

use std::fs;
use std::path::PathBuf;

use pollster::block_on;
use tiefsee::checkpoint::{Checkpoint, Folder, Source};

use crate::files::{Files, assert_fails};
use crate::gguf_file::Gguf;

const PARTS: [&str; 3] = [
    "x-00001-of-00003.gguf",
    "x-00002-of-00003.gguf",
    "x-00003-of-00003.gguf",
];

fn part(number: u32, tensors: u32) -> Gguf {
    let file = if number == 0 {
        Gguf::new("llama")
    } else {
        Gguf::empty()
    };
    let name = format!("tensor.{number}");
    file.u32("split.no", number)
        .u32("split.count", 3)
        .u32("split.tensors.count", tensors)
        .floats(&name, &[1], &[number as f32])
}

fn set() -> Files {
    let parts = PARTS.into_iter().zip(0..);
    parts.fold(Files::default(), |files, (name, number)| {
        files.with(name, part(number, 3).bytes())
    })
}

#[test]
fn all_parts_are_read() {
    let checkpoint = set().open().unwrap();
    assert_eq!(checkpoint.shards(), PARTS);
    for number in 0..3u8 {
        let tensor = checkpoint.tensor(&format!("tensor.{number}")).unwrap();
        assert_eq!(block_on(tensor.read_all()).unwrap(), [f32::from(number)]);
    }
}

#[test]
fn missing_and_wrong_parts_are_named() {
    for name in &PARTS[1..] {
        let mut files = set();
        files.0.remove(*name);
        assert_fails(
            files.open(),
            4,
            &[&format!("memory/{name}"), "no such file"],
        );
    }
    let mut files = set();
    files.0.remove(PARTS[0]);
    let words = [&format!("memory/{}", PARTS[0]), "no such file", PARTS[1]];
    assert_fails(files.open(), 4, &words);

    let path = format!("memory/{}", PARTS[2]);
    for (replaced, key) in [
        (part(1, 3), "`split.no` is 1"),
        (part(2, 3).u32("x", 1), ""),
        (Gguf::empty().u32("split.no", 2), "`split.count` is missing"),
        (Gguf::empty().u32("split.count", 3), "`split.no` is missing"),
        (
            Gguf::empty().u32("split.no", 2).u32("split.count", 4),
            "`split.count` is 4",
        ),
    ] {
        let open = set().with(PARTS[2], replaced.bytes()).open();
        if key.is_empty() {
            assert!(open.is_ok());
        } else {
            assert_fails(open, 4, &[&path, key]);
        }
    }
    let twice = part(2, 3).floats("tensor.0", &[1], &[1.0]);
    let twice = set()
        .with(PARTS[0], part(0, 4).bytes())
        .with(PARTS[2], twice.bytes());
    assert_fails(twice.open(), 4, &[PARTS[2], "tensor.0", PARTS[0]]);
    let counted = set().with(PARTS[0], part(0, 4).bytes());
    assert_fails(
        counted.open(),
        4,
        &[PARTS[0], "`split.tensors.count` is 4", "3"],
    );
}

#[test]
fn names_and_counts_agree() {
    for (file, name, words) in [
        (
            part(0, 1),
            "x.gguf",
            &["`split.count` is 3", "x-00001-of-00003.gguf"][..],
        ),
        (
            part(0, 1),
            "x-00001-of-00002.gguf",
            &["`split.count` is 3", "2"],
        ),
        (
            Gguf::new("llama"),
            "x-00001-of-00002.gguf",
            &["`split.count` is 1", "2"],
        ),
        (part(1, 1), "x.gguf", &["part 2 of 3"]),
        (
            Gguf::new("llama").text("split.count", "3"),
            "x.gguf",
            &["`split.count`"],
        ),
    ] {
        let open = Files::default().with(name, file.bytes()).open();
        assert_fails(open, 4, &[&[name], words].concat());
    }
    for name in [
        "x-00001-of-00001.gguf",
        "x-00002-of-00001.gguf",
        "x-1-of-3.gguf",
        "-of-00002.gguf",
        "X.GGUF",
    ] {
        let file = Gguf::new("llama").u32("split.count", 1);
        let open = Files::default().with(name, file.bytes()).open();
        assert!(open.is_ok(), "{name}");
    }
}

/// A new folder with empty files.
fn folder(test: &str, files: &[&str]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tiefsee-gguf-{test}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for file in files {
        fs::write(folder.join(file), Gguf::new("llama").bytes()).unwrap();
    }
    folder
}

#[test]
fn a_folder_with_one_model_is_that_model() {
    for (files, model) in [
        (&["a.gguf", "README.md"][..], Some("a.gguf")),
        (&PARTS, Some(PARTS[0])),
        (&["a.gguf", "b.gguf"], None),
        (&["a.gguf", PARTS[0], PARTS[1]], None),
        (&["a.gguf", "config.json"], None),
        (&["README.md"], None),
    ] {
        let path = folder("folder", files);
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.model_file().as_deref(), model, "{files:?}");
        if model.is_none() && !files.contains(&"config.json") {
            let open = block_on(Checkpoint::open(std::rc::Rc::new(folder)));
            assert_fails(
                open,
                3,
                &["config.json is missing", "GGUF", "named by its file"],
            );
        }
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn a_file_is_a_model() {
    let path = folder("file", &["a.gguf", "b.gguf"]);
    let file = path.join("b.gguf").display().to_string();
    let source = tiefsee::llm::open_source(&file).unwrap();
    assert_eq!(source.model_file().as_deref(), Some("b.gguf"));
    assert_eq!(source.name(), path.display().to_string());
    assert!(block_on(Checkpoint::open(source)).is_ok());
    assert_fails(
        Folder::of_file(path.join("c.gguf")),
        3,
        &["c.gguf: no such file"],
    );
    assert_fails(Folder::of_file("/"), 3, &["no name"]);
    fs::remove_dir_all(path).unwrap();
}

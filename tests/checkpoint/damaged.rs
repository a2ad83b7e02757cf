//! Every way in which a checkpoint can be damaged ends in an error that says where.

use pollster::block_on;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tiefsee::checkpoint::Checkpoint;

use crate::files::{Files, assert_fails, container, f32_bytes, failure, safetensors};

const INDEX: &str = "model.safetensors.index.json";

/// Opens a checkpoint whose file has this header and `data` zeros.
#[track_caller]
fn assert_damaged(header: &str, data: usize, words: &[&str]) {
    let open = Files::single(container(header, &vec![0; data])).open();
    assert_fails(open, 4, &[&["memory/model.safetensors"], words].concat());
}

fn small_file() -> Vec<u8> {
    safetensors(&[
        ("a", "F32", &[2, 2], f32_bytes(&[1.0, 2.0, 3.0, 4.0])),
        ("b", "BF16", &[3], vec![0x80, 0x3f, 0x80, 0x3f, 0x80, 0x3f]),
    ])
}

fn header_length(file: &[u8]) -> usize {
    u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

/// Reads whatever opens: the values do not matter, only that nothing panics.
fn read_everything(checkpoint: &Checkpoint) {
    for tensor in checkpoint.tensors() {
        let _ = block_on(tensor.read_all());
        let _ = block_on(tensor.read_row_bytes(0..tensor.rows()));
    }
}

#[test]
fn every_prefix_of_a_file_is_damaged() {
    let file = small_file();
    assert!(Files::single(file.as_slice()).open().is_ok());
    for length in 0..file.len() {
        let open = Files::single(&file[..length]).open();
        assert_fails(open, 4, &["memory/model.safetensors"]);
    }
}

#[test]
fn every_prefix_of_a_header_is_damaged() {
    let file = small_file();
    let header = &file[8..8 + header_length(&file)];
    let data = &file[8 + header.len()..];
    for length in 0..header.len() {
        let kept_length = [&file[..8 + length], data].concat();
        assert_eq!(failure(Files::single(kept_length).open()).exit_code(), 4);
        let own_length = container(&header[..length], data);
        assert_eq!(failure(Files::single(own_length).open()).exit_code(), 4);
    }
}

#[test]
fn flipped_bits_never_panic() {
    let file = small_file();
    let end = 8 + header_length(&file);
    let mut random = Pcg64::seed_from_u64(1);
    let mut opened = 0;
    for _ in 0..4000 {
        let mut file = file.clone();
        for _ in 0..=random.next_u32() % 3 {
            let bit = random.next_u32() as usize % (8 * end);
            file[bit / 8] ^= 1 << (bit % 8);
        }
        match Files::single(file).open() {
            Ok(checkpoint) => {
                opened += 1;
                read_everything(&checkpoint);
            }
            Err(error) => assert_eq!(error.exit_code(), 4, "{error}"),
        }
    }
    assert!(
        (1..2000).contains(&opened),
        "{opened} of 4000 are still whole"
    );
}

#[test]
fn header_lengths_are_not_believed() {
    for length in [
        1,
        100_000_000,
        100_000_001,
        u64::from(u32::MAX),
        1 << 63,
        u64::MAX,
    ] {
        let file = length.to_le_bytes();
        let open = Files::single(file).open();
        assert_fails(
            open,
            4,
            &["model.safetensors", "byte 0", &length.to_string()],
        );
    }
}

#[test]
fn headers_that_are_no_objects() {
    for header in [
        "",
        " ",
        "[]",
        "3",
        "null",
        "{",
        "{}}",
        "{} x",
        r#"{"a""#,
        "\"\\ud800\"",
    ] {
        assert_damaged(header, 0, &["after byte 8"]);
    }
    let open = Files::single(container(b"{\"\xff\":1}", &[])).open();
    assert_fails(open, 4, &["UTF-8", "byte 10"]);
}

#[test]
fn entries_that_are_no_tensors() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for header in [
        r#"{"t":3}"#,
        r#"{"t":{}}"#,
        r#"{"t":null}"#,
        r#"{"t":{"dtype":"F32","shape":[1]}}"#,
        r#"{"t":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        &entry("3", "[1]", "[0,4]"),
        &entry("\"F32\"", "1", "[0,4]"),
        &entry("\"F32\"", "[-1]", "[0,4]"),
        &entry("\"F32\"", "[1.5]", "[0,4]"),
        &entry("\"F32\"", "[18446744073709551616]", "[0,4]"),
        &entry("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"),
        &entry("\"F32\"", "[1]", "[0]"),
        &entry("\"F32\"", "[1]", "[0,4,8]"),
        &entry("\"F32\"", "[1]", "[-4,0]"),
        &entry("\"F32\"", "[1]", "[0,1e400]"),
    ] {
        assert_damaged(header, 4, &["`t`"]);
    }
    assert_damaged(r#"{"__metadata__":{"a":1}}"#, 0, &["__metadata__"]);
}

#[test]
fn unknown_types_are_named() {
    let header = r#"{"t":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}"#;
    assert_damaged(header, 4, &["`t`", "Q9", "unknown"]);
    let open = Files::single(container(header, &[0; 4])).open();
    assert!(matches!(failure(open), tiefsee::Error::Unsupported { .. }));
}

#[test]
fn names_that_appear_twice() {
    let t = r#""t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    assert_damaged(&format!("{{{t},{t}}}"), 1, &["`t`", "twice"]);
    let metadata = r#""__metadata__":{}"#;
    assert_damaged(
        &format!("{{{metadata},{metadata}}}"),
        0,
        &["__metadata__", "twice"],
    );
    // The same name, spelled in another way.
    let escaped = t.replace("\"t\"", r#""\u0074""#);
    assert_damaged(&format!("{{{t},{escaped}}}"), 1, &["`t`", "twice"]);
}

#[test]
fn shapes_and_offsets_must_agree_with_the_file() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let huge = u64::MAX;
    for (dtype, shape, offsets, words) in [
        ("F32", "[4294967296,4294967296]", "[0,4]", "too large"),
        ("F32", "[4611686018427387904]", "[0,4]", "too large"),
        ("F32", "[0,4294967296,4294967296]", "[0,0]", "too large"),
        ("F64", &format!("[{huge}]"), "[0,4]", "too large"),
        ("F32", "[1]", "[4,0]", "after its end"),
        ("F32", "[1]", &format!("[{huge},0]"), "after its end"),
        ("F32", "[1]", &format!("[0,{huge}]"), "only 4 bytes"),
        ("F32", "[2]", "[0,8]", "only 4 bytes"),
        ("F32", "[1]", "[1,5]", "only 4 bytes"),
        ("F32", "[2]", "[0,4]", "8 bytes"),
        ("F32", "[0]", "[0,4]", "0 bytes"),
        ("BF16", "[1]", "[0,4]", "2 bytes"),
        ("F4", "[7]", "[0,4]", "4 bytes"),
    ] {
        assert_damaged(&one(dtype, shape, offsets), 4, &["`t`", words]);
    }
}

#[test]
fn every_byte_belongs_to_one_tensor() {
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"s":{{"dtype":"U8","shape":[4],"data_offsets":{second}}},
                "r":{{"dtype":"U8","shape":[4],"data_offsets":{first}}}}}"#
        )
    };
    let open = Files::single(container(two("[0,4]", "[4,8]"), &[0; 8])).open();
    assert!(open.is_ok(), "order in the header is free");
    assert_damaged(&two("[0,4]", "[3,7]"), 7, &["`r`", "`s`", "overlap"]);
    assert_damaged(&two("[0,4]", "[0,4]"), 4, &["`r`", "`s`", "overlap"]);
    assert_damaged(&two("[0,4]", "[5,9]"), 9, &["`s`", "no tensor"]);
    assert_damaged(&two("[1,5]", "[5,9]"), 9, &["`r`", "no tensor"]);
    assert_damaged(&two("[0,4]", "[4,8]"), 9, &["last", "no tensor"]);
    assert_damaged("{}", 1, &["last", "no tensor"]);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(1_000_000);
    assert_damaged(&format!(r#"{{"t":{deep}"#), 0, &["after byte 8"]);
    let extra = format!(r#"{{"t":{{"x":{}"#, r#"{"x":"#.repeat(1_000_000));
    assert_damaged(&extra, 0, &["after byte 8"]);
    let config = Files::single(small_file()).with("config.json", deep.as_str());
    assert_fails(config.open(), 4, &["config.json", "recursion"]);
}

#[test]
fn configs_that_are_none() {
    let config = r#"{"hidden_size": 4, "list": [1, 2.5], "null": null}"#;
    for length in 0..config.len() {
        let files = Files::single(small_file()).with("config.json", &config[..length]);
        assert_fails(files.open(), 4, &["memory/config.json"]);
    }
    for config in ["[]", "3", "{} {}", r#"{"a":NaN}"#, r#"{"a":1e999}"#] {
        let files = Files::single(small_file()).with("config.json", config);
        assert_fails(files.open(), 4, &["memory/config.json"]);
    }
    let files = Files::single(small_file()).with("config.json", [b'{', 0xc3, b'}']);
    assert_fails(files.open(), 4, &["memory/config.json", "UTF-8", "byte 1"]);
    let files = Files::single(small_file()).with("config.json", vec![b' '; (16 << 20) + 1]);
    assert_fails(files.open(), 4, &["memory/config.json", "16777217"]);
}

#[test]
fn missing_files_are_named() {
    let words = &["memory", "config.json is missing", "tokenizer.json", INDEX];
    assert_fails(Files::default().open(), 3, words);
    let files = Files::default().with("config.json", "{}");
    assert_fails(
        files.open(),
        3,
        &["memory", "neither model.safetensors", INDEX],
    );
    let index = r#"{"weight_map":{"a":"gone.safetensors"}}"#;
    let files = Files::default()
        .with("config.json", "{}")
        .with(INDEX, index);
    assert_fails(files.open(), 4, &["memory/gone.safetensors", INDEX]);
}

/// The files `x` and `y`, each with tensors `a` and `b`, but with this index.
fn indexed(index: &str) -> Files {
    Files::default()
        .with("config.json", "{}")
        .with(INDEX, index)
        .with("x", small_file())
        .with("y", small_file())
}

#[test]
fn indices_that_are_none() {
    let index = r#"{"metadata":{},"weight_map":{"a":"x","b":"x"}}"#;
    assert!(indexed(index).open().is_ok());
    for length in 0..index.len() {
        assert_fails(indexed(&index[..length]).open(), 4, &[INDEX]);
    }
    for index in ["{}", r#"{"weight_map":[]}"#, r#"{"weight_map":{"a":3}}"#] {
        assert_fails(indexed(index).open(), 4, &[INDEX]);
    }
    let twice = r#"{"weight_map":{"a":"x","a":"y"}}"#;
    assert_fails(indexed(twice).open(), 4, &[INDEX, "`a`", "twice"]);
}

#[test]
fn indices_that_contradict_the_shards() {
    let both = r#"{"weight_map":{"a":"x","b":"y"}}"#;
    assert_fails(indexed(both).open(), 4, &["memory/y", "`a`", "x"]);
    let absent = r#"{"weight_map":{"a":"x","c":"x"}}"#;
    assert_fails(indexed(absent).open(), 4, &["memory/x", "`c`", INDEX]);
    let broken = indexed(r#"{"weight_map":{"a":"x"}}"#).with("x", "short");
    assert_fails(broken.open(), 4, &["memory/x", "5 bytes"]);
}

#[test]
fn indices_that_lead_elsewhere() {
    for name in [
        "../x", "..", "/etc/x", "a/x", r"a\\x", "", ".", "C:x", r"x\u0000",
    ] {
        let index = format!(r#"{{"weight_map":{{"a":"{name}"}}}}"#);
        assert_fails(indexed(&index).open(), 4, &[INDEX, "no name of a file"]);
    }
}

//! Every way in which a GGUF file can be damaged ends in an error that says where.

use pollster::block_on;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::files::{Files, assert_fails};
use crate::gguf_file::{ARRAY, Gguf, TEXT, U32, U64, array_bytes, text_bytes};

/// A bit of everything: texts, arrays, experts, blocks.
fn small_file() -> Gguf {
    Gguf::new("deepseek2")
        .u32("deepseek2.block_count", 1)
        .f32("deepseek2.rope.freq_base", 10_000.0)
        .text("tokenizer.ggml.model", "gpt2")
        .texts("tokenizer.ggml.tokens", &["a", "b", "ab"])
        .texts("tokenizer.ggml.merges", &["a b"])
        .i32s("tokenizer.ggml.token_type", &[1, 1, 3])
        .u32("tokenizer.ggml.bos_token_id", 2)
        .floats("token_embd.weight", &[3, 2], &[1.0; 6])
        .floats("blk.0.ffn_up_exps.weight", &[2, 1, 2], &[1.0; 4])
        .tensor("blk.0.attn_q.weight", &[1, 32], 2, &[0; 18])
}

/// Opens a file that has this as its first tensor, and one more.
#[track_caller]
fn assert_tensor_fails(shape: &[u64], kind: u32, bytes: usize, words: &[&str]) {
    let file = Gguf::new("llama")
        .tensor("bad", shape, kind, &vec![0; bytes])
        .floats("good", &[1], &[1.0]);
    let open = Files::gguf(file.bytes()).open();
    assert_fails(open, 4, &[&["memory/x.gguf", "`bad`"], words].concat());
}

#[track_caller]
fn assert_file_fails(file: impl Into<Vec<u8>>, words: &[&str]) {
    assert_fails(
        Files::gguf(file).open(),
        4,
        &[&["memory/x.gguf"], words].concat(),
    );
}

#[test]
fn every_prefix_of_a_file_is_damaged() {
    for version in [2, 3] {
        let mut file = small_file();
        file.version = version;
        let file = file.bytes();
        assert!(Files::gguf(file.as_slice()).open().is_ok());
        for length in 0..file.len() {
            assert_file_fails(&file[..length], &[]);
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let file = small_file().bytes();
    let mut random = Pcg64::seed_from_u64(1);
    let mut opened = 0;
    for _ in 0..4000 {
        let mut file = file.clone();
        for _ in 0..=random.next_u32() % 3 {
            let bit = random.next_u32() as usize % (8 * file.len());
            file[bit / 8] ^= 1 << (bit % 8);
        }
        match Files::gguf(file).open() {
            Ok(checkpoint) => {
                opened += 1;
                for tensor in checkpoint.tensors() {
                    let _ = block_on(tensor.read_all());
                }
                for text in [
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "generation_config.json",
                ] {
                    if let Err(error) = block_on(checkpoint.text(text)) {
                        assert_eq!(error.exit_code(), 4, "{error}");
                    }
                }
                for value in checkpoint.metadata().unwrap().values() {
                    let _ = value.brief();
                }
            }
            Err(error) => assert_eq!(error.exit_code(), 4, "{error}"),
        }
    }
    assert!(
        (1..3000).contains(&opened),
        "{opened} of 4000 are still whole"
    );
}

#[test]
fn headers_are_not_believed() {
    let file = small_file();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.bytes();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    assert_file_fails(with(0, b"gguf"), &["no GGUF file"]);
    assert_file_fails(with(4, &[1, 0, 0, 0]), &["version 1", "2, 3"]);
    assert_file_fails(with(4, &[4, 0, 0, 0]), &["version 4"]);
    assert_file_fails(with(4, &[0, 0, 0, 3]), &["big-endian"]);
    for count in [1000, 1 << 32, 1 << 63, u64::MAX] {
        assert_file_fails(
            file.head(count, 1),
            &["count of tensors at byte 16", &count.to_string()],
        );
        assert_file_fails(file.head(1, count), &["count of metadata at byte 24"]);
    }
    assert_file_fails(
        file.head(0, 12),
        &["metadata key 8 at byte", "only 0 are left"],
    );
    assert_file_fails("", &["magic", "byte 0"]);
}

#[test]
fn metadata_are_checked() {
    let huge = u64::MAX.to_le_bytes();
    let array = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
    for (kind, value, word) in [
        (TEXT, huge.to_vec(), "bytes"),
        (
            TEXT,
            [&2u64.to_le_bytes()[..], b"\xc3\x28"].concat(),
            "UTF-8",
        ),
        (ARRAY, array(TEXT, u64::MAX), "says 18446744073709551615"),
        (ARRAY, array(U64, 1 << 61), "says 2305843009213693952"),
        (ARRAY, array(U32, 1 << 40), "says 1099511627776"),
        (ARRAY, array(ARRAY, 1), "array of arrays"),
        (ARRAY, array(13, 1), "unknown type 13"),
        (13, vec![0; 8], "unknown type 13"),
        (u32::MAX, vec![0; 8], "unknown type 4294967295"),
    ] {
        let file = Gguf::new("llama").key("some.key", kind, &value);
        assert_file_fails(file.bytes(), &["`some.key` ", "byte ", word]);
    }
    let texts = [text_bytes("a"), huge.to_vec()].concat();
    let texts = array_bytes(TEXT, 2, texts.into_iter());
    let file = Gguf::new("llama").key("texts", ARRAY, &texts);
    assert_file_fails(file.bytes(), &["`texts`", "are left"]);
    let file = Gguf::new("llama").u32("a", 1).u32("a", 1);
    assert_file_fails(file.bytes(), &["`a`", "twice"]);
    let file = Gguf::new("llama").u32(&"a".repeat(2000), 1);
    assert_file_fails(file.bytes(), &["metadata key 1", "2000 bytes"]);
}

#[test]
fn alignments_are_checked() {
    let file = |alignment: u32| Gguf::new("llama").u32("general.alignment", alignment);
    for alignment in [0, 3, 48, u32::MAX] {
        let file = file(alignment).floats("a", &[1], &[1.0]);
        assert_file_fails(
            file.bytes(),
            &["`general.alignment`", &alignment.to_string()],
        );
    }
    let text = Gguf::new("llama").text("general.alignment", "32");
    assert_file_fails(text.bytes(), &["`general.alignment`", "\"32\""]);
    // Larger than the file: its data would begin far behind the end.
    let huge = file(1 << 31).floats("a", &[1], &[1.0]);
    assert_file_fails(huge.bytes(), &["`a`", "only 0 bytes of data"]);
    for alignment in [1, 8, 64, 4096] {
        let mut file = file(alignment)
            .floats("a", &[1], &[1.0])
            .floats("b", &[1], &[2.0]);
        file.alignment = alignment as usize;
        let checkpoint = Files::gguf(file.bytes()).open().unwrap();
        let b = checkpoint.tensor("b").unwrap();
        assert_eq!(block_on(b.read_all()).unwrap(), [2.0], "{alignment}");
    }
}

#[test]
fn shapes_are_checked() {
    assert_tensor_fails(&[], 0, 4, &["0 dimensions"]);
    assert_tensor_fails(&[1; 5], 0, 4, &["5 dimensions"]);
    assert_tensor_fails(&[2, 0], 0, 4, &["empty shape [2, 0]"]);
    assert_tensor_fails(&[1 << 32, 1 << 32], 0, 4, &["too large"]);
    assert_tensor_fails(&[u64::MAX], 0, 4, &["too large"]);
    assert_tensor_fails(&[u64::MAX, u64::MAX, 1, 1], 28, 8, &["too large"]);
    assert_tensor_fails(&[1 << 61, 32], 2, 18, &["too large"]);
    assert_tensor_fails(&[1000, 1000], 0, 4, &["4000000 bytes at data offset 0"]);
    assert_tensor_fails(&[2, 48], 2, 54, &["rows of 48", "Q4_0", "blocks of 32"]);
    // Its last number is where the next tensor is.
    let file = Gguf::new("llama")
        .tensor("bad", &[9], 0, &[0; 32])
        .floats("good", &[1], &[1.0]);
    assert_file_fails(file.bytes(), &["`good` overlaps tensor `bad`", "byte "]);
}

#[test]
fn types_are_known_or_named() {
    for (kind, words) in [
        (16, &["type 16", "IQ2_XXS"][..]),
        (4, &["type 4 ", "Q4_2"]),
        (9, &["type 9 ", "Q8_1"]),
        (41, &["type 41,"]),
        (u32::MAX, &["type 4294967295,"]),
    ] {
        assert_tensor_fails(&[1, 256], kind, 512, words);
    }
}

#[test]
fn offsets_are_checked() {
    let file = Gguf::new("llama")
        .floats("a", &[8], &[1.0; 8])
        .floats("b", &[8], &[1.0; 8]);
    let file = file.bytes();
    let begin = 24 + 8 + 20 + 4 + 8 + 5;
    let info = 8 + 1 + 4 + 8 + 4;
    let with = |offset: u64| {
        let at = begin + 2 * info + 8;
        let mut file = file.clone();
        file[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        file
    };
    assert_eq!(with(32), file, "the place of the offset is known");
    assert_file_fails(with(0), &["`b`", "overlaps", "`a`"]);
    for offset in [1, 33, u64::MAX] {
        assert_file_fails(
            with(offset),
            &["`b`", &offset.to_string(), "multiple of 32"],
        );
    }
    for offset in [64, 1 << 40, u64::MAX - 31] {
        assert_file_fails(with(offset), &["`b`", &offset.to_string(), "only 64 bytes"]);
    }
}

#[test]
fn names_of_tensors_are_different() {
    for (first, second) in [
        ("a", "a"),
        ("output.weight", "lm_head.weight"),
        ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"),
    ] {
        let file = Gguf::new("llama")
            .floats(first, &[1], &[1.0])
            .floats(second, &[1], &[1.0]);
        assert_file_fails(file.bytes(), &[second, "twice"]);
    }
    let file = Gguf::new("llama").floats(&"a".repeat(2000), &[1], &[1.0]);
    assert_file_fails(file.bytes(), &["tensor 0", "2000 bytes"]);
}

#[test]
fn experts_are_checked() {
    let expert = "blk.0.ffn_down_exps.weight";
    let file =
        |shape: &[u64], numbers| Gguf::new("deepseek2").floats(expert, shape, &vec![1.0; numbers]);
    assert_file_fails(file(&[2, 2], 4).bytes(), &[expert, "[2, 2]"]);
    assert_file_fails(file(&[1, 1, 2, 2], 4).bytes(), &[expert]);
    let count = (1 << 17) + 1;
    assert_file_fails(
        file(&[count as u64, 1, 1], count).bytes(),
        &[expert, "experts"],
    );
}

#[test]
fn divisors_are_checked() {
    let file = |shape: &[u64], values: &[f32]| {
        Gguf::new("llama").floats("rope_freqs.weight", shape, values)
    };
    assert_file_fails(
        file(&[2, 1], &[1.0; 2]).bytes(),
        &["rope_freqs.weight", "[2, 1]"],
    );
    assert_file_fails(
        file(&[5000], &vec![1.0; 5000]).bytes(),
        &["rope_freqs.weight", "[5000]"],
    );
    assert_file_fails(
        file(&[2], &[1.0, f32::NAN]).bytes(),
        &["rope_freqs.weight", "element 1"],
    );
}

#[test]
fn weights_that_are_no_numbers_are_damaged() {
    let file = Gguf::new("llama")
        .floats("token_embd.weight", &[1, 2], &[1.0, f32::INFINITY])
        .tensor(
            "output.weight",
            &[1, 32],
            2,
            &[&[0, 0x7c][..], &[0; 16]].concat(),
        );
    let checkpoint = Files::gguf(file.bytes()).open().unwrap();
    for (name, element) in [("model.embed_tokens.weight", 1), ("lm_head.weight", 0)] {
        let tensor = checkpoint.tensor(name).unwrap();
        let element = format!("element {element}");
        assert_fails(
            block_on(tensor.read_all()),
            4,
            &["memory/x.gguf", name, &element],
        );
    }
}

#[test]
fn missing_files_are_not_found() {
    let source = tiefsee::llm::open_source("/nowhere/model.gguf");
    assert_fails(source, 3, &["/nowhere/model.gguf: no such file"]);
}

//! Raw scores of the golden models, in every way of feeding them.

use crate::read_tensor as read;
use crate::{Folder, ended, golden, on_device, tiefsee};

fn prompt(model: &str) -> String {
    let (_, ids) = read(
        &format!("{}/golden.safetensors", golden(model)),
        "input_ids",
    );
    ids.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn whole_in_chunks_and_by_steps_are_what_transformers_computes() {
    let folder = Folder::new("golden");
    let (shape, expected) = read(&format!("{}/golden.safetensors", golden("dsv3")), "logits");
    let list = folder.file("ids.txt");
    std::fs::write(&list, prompt("dsv3").replace(',', "\n")).expect("the folder can be written");
    let list = format!("@{list}");
    let (ids, model) = (prompt("dsv3"), golden("dsv3"));
    let ways = [
        &["--tokens", &ids][..],
        &["--tokens", &list, "--chunk", "5"],
        &["--tokens", &ids, "--step"],
    ];
    for (index, way) in ways.iter().enumerate() {
        let file = folder.file(&format!("{index}.safetensors"));
        let arguments = [&["logits", &model, "--output", &file], *way].concat();
        assert_eq!(ended(&mut on_device(&arguments)).done(), "");
        let (found, logits) = read(&file, "logits");
        assert_eq!(found, shape);
        let difference = largest_difference(&logits, &expected);
        assert!(difference < 1e-3, "{way:?} is off by {difference}");
        // No part of an unfinished file is left beside it.
        assert_eq!(
            std::fs::read_dir(folder.path())
                .expect("the folder is there")
                .count(),
            index + 2
        );
    }
}

#[test]
fn routes_are_the_experts_that_transformers_chooses() {
    let folder = Folder::new("routes");
    let file = folder.file("routes.safetensors");
    let (ids, model) = (prompt("dsv3"), golden("dsv3"));
    let arguments = [
        "logits", &model, "--tokens", &ids, "-o", &file, "--routes", "--chunk", "7",
    ];
    ended(&mut on_device(&arguments)).done();
    let (shape, routes) = read(&file, "routes.0");
    let (expected_shape, expected) = read(&format!("{model}/golden.safetensors"), "route.0.idx");
    // Four routed experts and the shared one, which is numbered after all others.
    assert_eq!(shape, [expected_shape[0], 5]);
    for (token, expected) in routes.chunks(5).zip(expected.chunks(4)) {
        let mut chosen = token[..4].to_vec();
        chosen.sort_by(f32::total_cmp);
        assert_eq!(chosen, expected);
        assert!(token[4] >= 16.0, "{token:?}");
    }
}

#[test]
fn attn_factor_is_the_authors_or_left_aside_as_by_transformers() {
    let folder = Folder::new("attn-factor");
    let (ids, model) = (prompt("qwen3"), golden("qwen3"));
    let reference = format!("{model}/golden.safetensors");
    let [authors, transformers] =
        ["logits", "logits_transformers"].map(|name| read(&reference, name).1);
    assert!(largest_difference(&authors, &transformers) > 0.01);
    for (flags, expected) in [
        (&[][..], authors),
        (&["--ignore-attn-factor"], transformers),
    ] {
        let file = folder.file(&format!("{}.safetensors", flags.len()));
        let arguments = ["logits", &model, "--tokens", &ids, "--output", &file];
        ended(&mut on_device(&[&arguments, flags].concat())).done();
        let difference = largest_difference(&read(&file, "logits").1, &expected);
        assert!(difference < 1e-3, "{flags:?} is off by {difference}");
    }
}

#[test]
fn weights_can_be_packed() {
    let folder = Folder::new("packed");
    let (ids, model) = (prompt("dsv3"), golden("dsv3"));
    let run = |format: &str| {
        let file = folder.file(format);
        ended(&mut on_device(&[
            "logits",
            &model,
            "--tokens",
            &ids,
            "-o",
            &file,
            "--quantize",
            format,
        ]))
        .done();
        read(&file, "logits").1
    };
    let (exact, packed) = (run("f32"), run("f16"));
    let difference = largest_difference(&exact, &packed);
    let scale = exact
        .iter()
        .fold(0.0_f32, |most, score| most.max(score.abs()));
    assert!(
        difference > 0.0 && difference < 0.02 * scale,
        "{difference} of {scale}"
    );
}

#[test]
fn existing_files_stay_unless_forced() {
    let folder = Folder::new("existing");
    let file = folder.file("out.safetensors");
    std::fs::write(&file, "precious").expect("the folder can be written");
    let model = golden("dsv3");
    let arguments = ["logits", &model, "--tokens", "1", "--output", &file];
    let refused = ended(&mut on_device(&arguments)).failed(2);
    assert!(
        refused.contains("exists already; --force overwrites it"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
    ended(on_device(&arguments).arg("--force")).done();
    assert_eq!(read(&file, "logits").0, [1, 96]);
}

#[test]
fn wrong_tokens_and_places_are_refused() {
    let folder = Folder::new("wrong");
    let file = folder.file("out.safetensors");
    let model = golden("dsv3");
    for (tokens, what) in [
        ("1,two,3", "\"two\" is no token id"),
        ("-1", "\"-1\" is no token id"),
        ("4294967296", "\"4294967296\" is no token id"),
        ("", "there are none"),
        (" , ,", "there are none"),
        ("1,96", "96 is not below the vocabulary of 96"),
    ] {
        let argument = format!("--tokens={tokens}");
        let refused = ended(&mut tiefsee(&[
            "logits", &model, "--output", &file, &argument,
        ]))
        .failed(2);
        assert!(refused.contains(what), "{refused}");
    }
    let missing = ended(&mut tiefsee(&[
        "logits",
        &model,
        "-o",
        &file,
        "--tokens",
        "@/no/such/file",
    ]))
    .failed(3);
    assert!(missing.contains("/no/such/file"), "{missing}");
    let place = folder.file("no/such/folder");
    let arguments = ["logits", &model, "-o", &place, "--tokens", "1"];
    let nowhere = ended(&mut tiefsee(&arguments)).failed(3);
    assert!(nowhere.contains("no such folder"), "{nowhere}");
    let many = vec!["1"; 2049].join(",");
    let long = ended(&mut tiefsee(&[
        "logits", "demo", "-o", &file, "--tokens", &many,
    ]))
    .failed(2);
    assert!(
        long.contains("2049 are more than the model's context of 2048"),
        "{long}"
    );
    let chunk = [
        "logits", &model, "-o", &file, "--tokens", "1", "--chunk", "99999999",
    ];
    let chunk = ended(&mut on_device(&chunk)).failed(6);
    assert!(chunk.contains("(--chunk "), "{chunk}");
}

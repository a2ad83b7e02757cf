//! How well a text is foretold, and how far from another run's scores.

use serde_json::Value;

use crate::{Ended, Folder, ended, interrupted, on_device, read_tensor, tiefsee, with_input};

const TEXT: &str = "<｜User｜>What is 27 + 48?<｜Assistant｜><think>\n27: tens 2, ones 7\n48: tens 4, ones 8\n\
                    ones 7+8+0=15, write 5, carry 1\ntens 2+4+1=7, write 7, carry 0\n";

fn perplexity(arguments: &[&str]) -> Ended {
    ended(&mut on_device(&[&["perplexity"], arguments].concat()))
}

#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let text = perplexity(&[arguments, &["--json"]].concat()).done();
    serde_json::from_str(&text).expect("an object")
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn perplexity_is_what_the_saved_scores_say() {
    let folder = Folder::new("perplexity");
    let (text, scores) = (folder.file("text.txt"), folder.file("scores.safetensors"));
    std::fs::write(&text, TEXT.repeat(3)).expect("a text");
    let found = report(&[
        "demo",
        "-f",
        &text,
        "--ctx",
        "100",
        "--save-logits",
        &scores,
    ]);
    let (shape, logits) = read_tensor(&scores, "logits");
    let tokens = read_tensor(&scores, "tokens").1;
    let positions = read_tensor(&scores, "positions").1;
    assert_eq!(found["tokens"], shape[0]);
    assert_eq!(
        positions.iter().filter(|&&place| place == 0.0).count() as u64,
        found["windows"]
    );
    let mut nats = Vec::new();
    for (index, row) in logits.chunks_exact(shape[1]).enumerate() {
        if positions.get(index + 1).is_some_and(|&place| place > 0.0) {
            let sum: f64 = row.iter().map(|&score| f64::from(score).exp()).sum();
            nats.push(sum.ln() - f64::from(row[tokens[index + 1] as usize]));
        }
    }
    // This model wants no beginning-of-sequence token, so that a window's first token is only read.
    assert_eq!(nats.len() as u64, found["scored"]);
    assert!(
        shape[0] > 200
            && nats.len() + found["windows"].as_u64().expect("a count") as usize == shape[0]
    );
    let mean = nats.iter().sum::<f64>() / nats.len() as f64;
    assert!(
        (number(&found["nats"]["value"]) - mean).abs() < 1e-6,
        "{found}"
    );
    assert!(
        (number(&found["perplexity"]["value"]) - mean.exp()).abs() < 1e-4,
        "{found}"
    );

    let some = report(&["demo", "-f", &text, "--ctx", "100", "--chunks", "2"]);
    assert_eq!(
        (&some["windows"], &some["tokens"]),
        (&2.into(), &200.into())
    );
    let piped = with_input(&mut on_device(&["perplexity", "demo", "-f", "-"]), TEXT).done();
    assert!(
        piped.starts_with("perplexity ") && piped.contains(" in 1 windows of 512"),
        "{piped}"
    );
}

#[test]
fn scores_are_compared_with_another_runs() {
    let folder = Folder::new("divergence");
    let (text, scores) = (folder.file("text.txt"), folder.file("scores.safetensors"));
    std::fs::write(&text, TEXT).expect("a text");
    report(&["demo", "-f", &text, "--save-logits", &scores]);
    let compare = |format: &str| {
        report(&[
            "demo",
            "-f",
            &text,
            "--reference-logits",
            &scores,
            "--quantize",
            format,
        ])["divergence"]
            .take()
    };
    let (same, packed) = (compare("f32"), compare("q4_0"));
    assert!(
        number(&same["mean"]["value"]) < 1e-7 && same["same_top"] == 1.0,
        "{same}"
    );
    let (mean, most) = (number(&packed["mean"]["value"]), number(&packed["max"]));
    let quantile = number(&packed["quantile_99"]);
    assert!(
        1e-5 < mean && mean < quantile && quantile <= most,
        "{packed}"
    );
    assert!(number(&packed["same_top"]) > 0.5, "{packed}");

    // What `logits` writes is of use, too.
    let ids: Vec<_> = read_tensor(&scores, "tokens")
        .1
        .iter()
        .map(ToString::to_string)
        .collect();
    let other = folder.file("logits.safetensors");
    ended(&mut on_device(&[
        "logits",
        "demo",
        "--tokens",
        &ids.join(","),
        "-o",
        &other,
    ]))
    .done();
    let same = report(&["demo", "-f", &text, "--reference-logits", &other]);
    assert!(
        number(&same["divergence"]["mean"]["value"]) < 1e-7,
        "{same}"
    );
    let shown = perplexity(&["demo", "-f", &text, "--reference-logits", &other]).done();
    assert!(
        shown.contains("divergence 0.000000") && shown.contains("100.00 %"),
        "{shown}"
    );
}

#[test]
fn other_and_damaged_references_are_refused() {
    let folder = Folder::new("references");
    let (text, scores) = (folder.file("text.txt"), folder.file("scores.safetensors"));
    std::fs::write(&text, TEXT).expect("a text");
    report(&["demo", "-f", &text, "--save-logits", &scores]);
    let refused = |arguments: &[&str], status| {
        let all = [&["demo", "-f", &text, "--reference-logits"], arguments].concat();
        perplexity(&all).failed(status)
    };
    let windows = refused(&[&scores, "--ctx", "50"], 2);
    assert!(
        windows.contains("other positions than this text in windows of 50: number 50 is 50, not 0"),
        "{windows}"
    );
    let short = refused(&[&scores, "--ctx", "50", "--chunks", "1"], 2);
    assert!(short.contains("of them, this text 50"), "{short}");
    let missing = refused(&["/no/such/folder/scores"], 3);
    assert!(missing.contains("/no/such/folder"), "{missing}");
    let missing = refused(&[&folder.file("none")], 3);
    assert!(missing.contains("no such file"), "{missing}");

    let whole = std::fs::read(&scores).expect("the scores");
    let damaged = folder.file("damaged.safetensors");
    std::fs::write(&damaged, &whole[..whole.len() - 4]).expect("a file");
    let cut = refused(&[&damaged], 4);
    assert!(
        cut.contains("damaged.safetensors: tensor `logits` ends at"),
        "{cut}"
    );
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&damaged, nan).expect("a file");
    let nan = refused(&[&damaged], 4);
    assert!(nan.contains("is not finite"), "{nan}");
    let model = format!(
        "{}/examples/demo-model/model.safetensors",
        env!("CARGO_MANIFEST_DIR")
    );
    let other = refused(&[&model], 4);
    assert!(other.contains("has no tensor `logits`"), "{other}");
}

#[test]
fn senseless_texts_and_places_are_refused() {
    let folder = Folder::new("texts");
    let text = folder.file("text.txt");
    let refused = |content: &[u8], arguments: &[&str]| {
        std::fs::write(&text, content).expect("a text");
        let all = [&["perplexity", "demo", "-f", &text], arguments].concat();
        ended(&mut tiefsee(&all)).failed(2)
    };
    for (content, arguments, what) in [
        (&b""[..], &[][..], "the text is too short"),
        (b"a", &[], "the text is too short"),
        (b"a\xff", &[], "is not UTF-8 at byte 1"),
        (
            b"some text",
            &["--ctx", "1"],
            "windows of 1 tokens make no sense: 2 to 2048",
        ),
        (b"some text", &["--ctx", "2049"], "windows of 2049 tokens"),
    ] {
        let refused = refused(content, arguments);
        assert!(refused.contains(what), "{refused}");
    }
    let existing = refused(b"some text", &["--save-logits", &text]);
    assert!(
        existing.contains("exists already; --force overwrites it"),
        "{existing}"
    );
    assert_eq!(std::fs::read(&text).expect("it is there"), b"some text");
    let missing = ended(&mut tiefsee(&["perplexity", "demo", "-f", "/no/such/text"])).failed(3);
    assert!(missing.contains("/no/such/text"), "{missing}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_leaves_no_file() {
    let folder = Folder::new("interrupted-scores");
    let (text, scores) = (folder.file("text.txt"), folder.file("scores.safetensors"));
    std::fs::write(&text, TEXT.repeat(2000)).expect("a text");
    let mut command = on_device(&["perplexity", "demo", "-f", &text, "--save-logits", &scores]);
    let ended = interrupted(&mut command, &folder);
    assert_eq!(
        (ended.status, &*ended.stdout),
        (Some(130), ""),
        "{}",
        ended.stderr
    );
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 1, "only the text is left");
}

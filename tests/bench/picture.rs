//! The picture of a run.

use std::fs;
use std::path::Path;

use crate::program::{failure, text, tiefsee};

/// The names of all elements and their texts, or what breaks XML's rules.
fn elements(xml: &str) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = xml.trim();
    while let Some(start) = rest.find('<') {
        let between = &rest[..start];
        if between.contains('>') || !entities_are_known(between) {
            return Err(format!("the text {between:?}"));
        }
        if let Some(&last) = open.last() {
            found[last].1.push_str(between);
        }
        let end = rest.find('>').ok_or("a tag without an end")?;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop().ok_or("an end of nothing")?;
            if found[last].0 != name {
                return Err(format!("{name} ends {}", found[last].0));
            }
            continue;
        }
        let (tag, is_empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let name = tag
            .split_whitespace()
            .next()
            .ok_or("a tag without a name")?;
        attributes(&tag[name.len()..])?;
        found.push((name.to_owned(), String::new()));
        if !is_empty {
            open.push(found.len() - 1);
        }
    }
    if open.is_empty() && rest.trim().is_empty() {
        Ok(found)
    } else {
        Err(format!("{} elements without an end", open.len()))
    }
}

fn attributes(mut text: &str) -> Result<(), String> {
    let mut names = Vec::new();
    while !text.trim().is_empty() {
        let (name, rest) = text
            .split_once("=\"")
            .ok_or(format!("attributes {text:?}"))?;
        let (value, rest) = rest.split_once('"').ok_or(format!("the value of {name}"))?;
        let is_name = name.trim().chars().all(|c| c.is_alphanumeric() || c == '-');
        if !name.starts_with(char::is_whitespace) || !is_name || names.contains(&name.trim()) {
            return Err(format!("the attribute {name:?}"));
        }
        if value.contains('<')
            || !entities_are_known(value)
            || value.contains("NaN")
            || value.contains("inf")
        {
            return Err(format!("{name} is {value:?}"));
        }
        names.push(name.trim());
        text = rest;
    }
    Ok(())
}

fn entities_are_known(text: &str) -> bool {
    let known = ["amp;", "lt;", "gt;", "quot;"];
    text.split('&')
        .skip(1)
        .all(|rest| known.iter().any(|entity| rest.starts_with(entity)))
}

#[test]
fn a_picture_has_every_kernel_of_every_test() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roofline & <more>");
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/dsv3/config.json");
    fs::copy(config, folder.join("config.json")).expect("a copy");
    let (model, picture) = (folder.to_str().expect("UTF-8"), folder.join("run.svg"));
    let run = [
        "bench",
        model,
        "--random-weights",
        "-p",
        "8",
        "-n",
        "2",
        "-r",
        "1",
        "--json",
        "--roofline",
        picture.to_str().expect("UTF-8"),
    ];
    let report: serde_json::Value = serde_json::from_str(&text(&tiefsee(&run))).expect("JSON");
    let svg = fs::read_to_string(&picture).expect("a picture");
    let elements = elements(&svg).unwrap_or_else(|what| panic!("{what}: {svg}"));
    assert_eq!(elements[0].0, "svg");
    // Titles of dots name their kernels; the first title is that of the picture.
    let titles: Vec<_> = elements
        .iter()
        .filter(|(name, _)| name == "title")
        .map(|(_, text)| text.as_str())
        .collect();
    let mut kernels = Vec::new();
    for test in report["tests"].as_array().expect("tests") {
        for op in test["ops"].as_array().expect("ops") {
            let kernel = op["kernel"].as_str().expect("a name");
            kernels.push(match op["format"].as_str() {
                Some(format) => format!("{kernel} {format}"),
                None => kernel.to_owned(),
            });
        }
    }
    assert_eq!(titles[1..], kernels);
    assert!(svg.contains("roofline &amp; &lt;more&gt;"));
    let texts: Vec<_> = elements.iter().map(|(_, text)| text.as_str()).collect();
    for words in ["pp8", "tg2", "operations per second"] {
        assert!(texts.contains(&words), "{words}");
    }
    for name in ["http://", "https://", "@import", "url("] {
        let count = usize::from(name == "http://");
        assert_eq!(
            svg.matches(name).count(),
            count,
            "only the namespace is named: {name}"
        );
    }
}

/// What is there is not overwritten unless told, and nothing is measured first.
#[test]
fn pictures_are_kept() {
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kept.svg");
    fs::write(&picture, "mine").expect("to write");
    let file = picture.to_str().expect("UTF-8");
    let run = [
        "bench",
        "demo",
        "-p",
        "0",
        "-n",
        "1",
        "-r",
        "1",
        "--roofline",
        file,
    ];
    let (status, errors) = failure(&tiefsee(&run));
    assert_eq!(status, Some(2), "{errors}");
    assert_eq!(fs::read_to_string(&picture).expect("a file"), "mine");
    text(&tiefsee(&[&run[..], &["--force"]].concat()));
    let written = fs::read_to_string(&picture).expect("a file");
    assert!(written.starts_with("<svg"));
    let nowhere = ["bench", "demo", "--roofline", "/no/such/folder/run.svg"];
    assert_eq!(tiefsee(&nowhere).status.code(), Some(3));
}

#[test]
fn broken_pictures_are_found() {
    elements("<a b=\"c\"><d/>text &amp; more</a>").expect("it is right");
    for broken in [
        "<a>",
        "<a></b>",
        "</a>",
        "<a b=c/>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>&nbsp;</a>",
        "<a b=\"NaN\"/>",
        "<a>x > y</a>",
        "<a/> and",
        "<a",
    ] {
        assert!(elements(broken).is_err(), "{broken}");
    }
}

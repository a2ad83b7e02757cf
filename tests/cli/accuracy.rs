//! How many problems are answered right.

use serde_json::{Value, json};

use crate::{Ended, Folder, ended, on_device, tiefsee};

fn accuracy(arguments: &[&str]) -> Ended {
    ended(&mut on_device(&[&["accuracy", "demo"], arguments].concat()))
}

/// Problems whose answers are known, a line each; the last is said to have another answer.
fn problems() -> String {
    let golden: Value = serde_json::from_str(include_str!("../golden/demo.json")).expect("JSON");
    let all = golden["problems"].as_array().expect("a list");
    let line = |(index, problem): (usize, &Value)| {
        let is_last = index == 5;
        let answer = if is_last {
            "The answer is yes.".into()
        } else {
            let completion = problem["completion"].as_str().expect("a text");
            completion
                .rsplit("</think>")
                .next()
                .expect("a part")
                .to_owned()
        };
        json!({
            "family": if index % 2 == 0 { "even" } else { "odd" },
            "messages": [{"role": "user", "content": problem["question"]}],
            "answer": answer,
        })
        .to_string()
    };
    let lines: Vec<String> = all[..6].iter().enumerate().map(line).collect();
    lines.join("\n") + "\n\n"
}

#[test]
fn right_answers_are_counted_by_family() {
    let folder = Folder::new("accuracy");
    let file = folder.file("problems.jsonl");
    std::fs::write(&file, problems()).expect("the problems");
    let object = |arguments: &[&str]| -> Value {
        let text = accuracy(&[&["-f", &file, "--json"], arguments].concat()).done();
        serde_json::from_str(&text).expect("an object")
    };
    let plain = object(&["--speculate", "off"]);
    assert_eq!(
        plain["families"],
        json!([
            {"family": "even", "right": 3, "asked": 3, "share": 1.0},
            {"family": "odd", "right": 2, "asked": 3, "share": 2.0 / 3.0},
        ])
    );
    assert_eq!(
        (&plain["all"]["right"], &plain["all"]["asked"]),
        (&5.into(), &6.into())
    );
    assert_eq!(plain["guessed"], 0);

    let guessing = object(&["--slots", "1", "--speculate", "on"]);
    assert_eq!(guessing["families"], plain["families"]);
    assert_eq!(guessing["tokens"], plain["tokens"]);
    let (made, right) = (&guessing["guessed"], &guessing["guessed_right"]);
    assert!(
        right.as_u64() > Some(100) && made.as_u64() >= right.as_u64(),
        "{guessing}"
    );

    let ended = accuracy(&["-f", &file, "--wrong"]);
    assert!(
        ended.stderr.contains(", not The answer is yes."),
        "{}",
        ended.stderr
    );
    let table = ended.done();
    for line in [
        "| even | 3 | 3 | 100.0 % |",
        "| odd | 2 | 3 | 66.7 % |",
        "| all | 5 | 6 | 83.3 % |",
    ] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn a_file_without_problems_is_told_of() {
    let folder = Folder::new("accuracy-faults");
    let file = folder.file("problems.jsonl");
    for (text, status, said) in [
        ("", 2, "has no problem"),
        ("\n\n{\"family\": 1}", 2, "line 3"),
        ("no JSON", 2, "line 1"),
        (
            r#"{"family": "a", "messages": [{"role": "nobody", "content": ""}], "answer": ""}"#,
            2,
            "nobody",
        ),
    ] {
        std::fs::write(&file, text).expect("a file");
        let told = ended(&mut tiefsee(&["accuracy", "demo", "-f", &file])).failed(status);
        assert!(told.contains(said), "{told}");
    }
    let told = ended(&mut tiefsee(&["accuracy", "demo", "-f", "no-such-file"])).failed(3);
    assert!(told.contains("no-such-file"), "{told}");
}

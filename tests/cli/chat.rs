//! Conversations, a line at a time.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::{Ended, Folder, on_device, with_input};

#[track_caller]
fn chat(input: &str) -> Ended {
    with_input(
        &mut on_device(&["run", "demo", "--interactive", "--temperature", "0"]),
        input,
    )
}

#[test]
fn questions_are_answered_until_the_end_of_input() {
    let ended = chat("What is 27 + 48?\n\n/stats\n");
    assert!(
        ended.stderr.contains("/help lists the commands"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("of 2048 tokens"), "{}", ended.stderr);
    assert_eq!(ended.done(), "The answer is 75.\n");
}

#[test]
fn commands_do_what_help_says() {
    let ended = chat(
        "/help\n/stats\n/set top-k 3\n/set\n/set top-p 2\n/set colour 2\n/set seed\n/system Be brief.\n/system off\n\
         /think maybe\n/save\n/nonsense\n/think show\nWhat is 27 + 48?\n/bye\nWhat is 1 + 1?\n",
    );
    for said in [
        "/save! overwrites",
        "Nothing was answered yet.",
        "top-k           3",
        "temperature     0",
        "error: top_p is 2; it must be above 0 and at most 1",
        "error: there is nothing called colour to set",
        "error: seed cannot be \"\"",
        "Instructions: Be brief.",
        "No instructions.",
        "error: /think takes show or hide",
        "error: /save needs the name of a file",
        "error: there is no /nonsense; /help lists what there is",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    let stdout = ended.done();
    assert!(
        stdout.starts_with("27: tens 2, ones 7\n") && stdout.ends_with("\n\nThe answer is 75.\n"),
        "{stdout}"
    );
}

#[test]
fn a_saved_conversation_goes_on_as_if_it_had_not_ended() {
    let folder = Folder::new("save");
    let file = folder.file("talk.json");
    let first = chat(&format!(
        "/system Be brief.\nWhat is 27 + 48?\n/save {file}\n/save {file}\n87 x 6 = ?\n"
    ));
    assert!(
        first
            .stderr
            .contains("exists already; /save! overwrites it"),
        "{}",
        first.stderr
    );
    let saved = std::fs::read_to_string(&file).expect("it was saved");
    let saved: serde_json::Value = serde_json::from_str(&saved).expect("it is JSON");
    let roles: Vec<_> = saved
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|message| &message["role"])
        .collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(saved[2]["content"], "The answer is 75.");
    // The first went on in its cache, the second reads everything anew.
    let second = chat(&format!(
        "/load {file}\n87 x 6 = ?\n/clear\n/save! {file}\n"
    ))
    .done();
    let first = first.done();
    assert_eq!(
        first.strip_prefix("The answer is 75.\n"),
        Some(second.as_str())
    );
    let cleared = std::fs::read_to_string(&file).expect("it was saved again");
    assert!(
        cleared.contains("system") && !cleared.contains("user"),
        "{cleared}"
    );
}

#[test]
fn what_is_no_conversation_is_not_loaded() {
    let folder = Folder::new("load");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.file(name), text).expect("the folder can be written");
        folder.file(name)
    };
    let long = "a".repeat(5000);
    let files = [
        write("words", "not JSON"),
        write("role", r#"[{"role":"pirate","content":"ahoy"}]"#),
        write("question", r#"[{"role":"user","content":"and?"}]"#),
        write(
            "twice",
            r#"[{"role":"user","content":"a"},{"role":"user","content":"b"}]"#,
        ),
        write(
            "late",
            r#"[{"role":"user","content":"a"},{"role":"system","content":"b"}]"#,
        ),
        write(
            "long",
            &format!(
                r#"[{{"role":"user","content":"{long}"}},{{"role":"assistant","content":"b"}}]"#
            ),
        ),
        folder.file("missing"),
        "/dev/zero".to_owned(),
    ];
    let lines = files
        .each_ref()
        .map(|file| format!("/load {file}\n"))
        .concat();
    let after = folder.file("after.json");
    let ended = chat(&format!("What is 27 + 48?\n{lines}/save {after}\n"));
    assert_eq!(
        ended.stderr.matches("error: ").count() - driver_errors(&ended.stderr),
        files.len(),
        "{}",
        ended.stderr
    );
    ended.done();
    let kept = std::fs::read_to_string(&after).expect("the conversation was kept");
    assert_eq!(kept.matches("role").count(), 2, "{kept}");
}

/// Lines that graphics drivers write by themselves.
fn driver_errors(stderr: &str) -> usize {
    stderr.matches("error: XDG_RUNTIME_DIR").count()
}

#[test]
fn a_full_context_keeps_the_conversation() {
    let folder = Folder::new("full");
    let file = folder.file("kept.json");
    let mut command = on_device(&[
        "run",
        "demo",
        "--interactive",
        "--temperature",
        "0",
        "--ctx",
        "100",
        "--think",
        "hide",
    ]);
    let long = "and again ".repeat(100);
    let ended = with_input(
        &mut command,
        &format!("What is 27 + 48?\n{long}\n/save {file}\n"),
    );
    assert!(
        ended
            .stderr
            .contains("of the context's 100 tokens are used"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("the context holds 100. It is kept"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.done(), "The answer is 75.\n");
    let kept = std::fs::read_to_string(&file).expect("the conversation was kept");
    assert!(
        kept.contains("The answer is 75.") && !kept.contains("again"),
        "{kept}"
    );
}

#[test]
fn an_answer_that_is_cut_is_said_to_be() {
    let ended = chat("/set max-tokens 3\nWhat is 27 + 48?\n");
    assert!(
        ended
            .stderr
            .contains("cut after 3 tokens; the question is not kept"),
        "{}",
        ended.stderr
    );
    ended.done();
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_answer_and_not_the_conversation() {
    let arguments = [
        "run",
        "demo",
        "--interactive",
        "--think",
        "show",
        "--temperature",
        "50",
        "--top-p",
        "1",
        "--seed",
        "10",
    ];
    let mut command = on_device(&arguments);
    command.args(["--max-tokens", "1900"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = child.stdout.take().expect("it is piped");
    stdin
        .write_all(b"a\n")
        .expect("the program reads its input");
    stdout.read_exact(&mut [0]).expect("an answer begins");
    crate::faults::interrupt(&child);
    let after = b"/set temperature 0\n/set max-tokens default\nWhat is 27 + 48?\n";
    stdin
        .write_all(after)
        .expect("the program still reads its input");
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("standard output ends");
    let ended = Ended::from(child.wait_with_output().expect("the program ends"));
    assert!(ended.stderr.contains("(stopped"), "{}", ended.stderr);
    assert_eq!(ended.status, Some(0));
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.ends_with("The answer is 75.\n"), "{rest}");
}

//! `tiefsee` as a program, on the device that the tests run on.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses another part of this module"
)]

use std::process::{Command, Output};

use serde_json::Value;

use crate::common;

/// It with these arguments.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiefsee"));
    let options = common::options();
    if let Some(device) = &options.device {
        command.env("TIEFSEE_DEVICE", device);
    }
    for (name, without) in [
        ("TIEFSEE_NO_SUBGROUPS", options.no_subgroups),
        ("TIEFSEE_NO_F16", options.no_f16),
        ("TIEFSEE_NO_INT64", options.no_int64),
    ] {
        command.env(name, if without { "1" } else { "0" });
    }
    command.args(arguments);
    command
}

/// Runs it to its end.
pub fn tiefsee(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program")
}

/// What it wrote, if it succeeded.
#[track_caller]
pub fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// [`text`] as JSON.
#[track_caller]
pub fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("one JSON object")
}

/// The exit status and what was written to standard error.
pub fn failure(output: &Output) -> (Option<i32>, String) {
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), errors.into_owned())
}

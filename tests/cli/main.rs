//! The program itself, as a user meets it: what it prints, and how it ends.

mod accuracy;
mod cache;
mod chat;
mod faults;
mod inspect;
mod logits;
mod perplexity;
mod plan;
mod quantize;
mod run;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use safetensors::{Dtype, SafeTensors};

/// What the program left behind.
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ended {
    /// Standard output, where the program must have ended well.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Standard error, where the program must have ended with `status` and a message.
    #[track_caller]
    fn failed(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}

/// The program with `arguments`, separated from the environment of whoever runs the tests.
fn tiefsee(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiefsee"));
    command.args(arguments).stdin(Stdio::null());
    for variable in [
        "DEVICE",
        "CTX",
        "QUANTIZE",
        "NO_SUBGROUPS",
        "NO_F16",
        "NO_MATRIX",
        "NO_INT64",
    ] {
        command.env_remove(format!("TIEFSEE_{variable}"));
    }
    // What earlier runs learnt must not decide what these do.
    command.env("TIEFSEE_CACHE_DIR", "");
    command
}

/// The same on the device under test, for commands that take a device.
fn on_device(arguments: &[&str]) -> Command {
    let mut command = tiefsee(arguments);
    if let Ok(device) = std::env::var("TIEFSEE_TEST_DEVICE") {
        command.args(["--device", &device]);
    }
    if std::env::var("TIEFSEE_TEST_TIERS").is_ok_and(|tiers| tiers == "none") {
        command.args(["--no-subgroups", "--no-f16", "--no-matrix", "--no-int64"]);
    }
    command
}

#[track_caller]
fn ended(command: &mut Command) -> Ended {
    command.output().expect("the program starts").into()
}

/// Runs the program until it has begun to write a file in `folder`, then interrupts it.
#[track_caller]
fn interrupted(command: &mut Command, folder: &Folder) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let is_part = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.to_string_lossy().ends_with(".part")
    };
    let begun = || {
        std::fs::read_dir(&folder.0)
            .expect("the folder")
            .any(is_part)
    };
    let patience = Instant::now();
    while !begun() {
        assert!(
            patience.elapsed() < Duration::from_secs(60),
            "it writes nothing"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status();
    assert!(killed.expect("there is kill").success());
    child.wait_with_output().expect("the program ends").into()
}

/// A tensor of a file: its shape, and its values as F32 or I32.
fn read_tensor(file: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(file).expect("the file is there");
    let tensors = SafeTensors::deserialize(&bytes).expect("it is a safetensors file");
    let tensor = tensors.tensor(name).expect("the tensor is there");
    let words = tensor
        .data()
        .chunks_exact(4)
        .map(|word| <[u8; 4]>::try_from(word).expect("four bytes"));
    let values = match tensor.dtype() {
        Dtype::F32 => words.map(f32::from_le_bytes).collect(),
        Dtype::I32 => words.map(|word| i32::from_le_bytes(word) as f32).collect(),
        other => panic!("{name} is {other}"),
    };
    (tensor.shape().to_vec(), values)
}

/// Runs the program with `input` as its standard input.
#[track_caller]
fn with_input(command: &mut Command, input: &str) -> Ended {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all(input.as_bytes())
        .expect("the program reads its input");
    drop(stdin);
    child.wait_with_output().expect("the program ends").into()
}

fn golden(name: &str) -> String {
    format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder for tests can be written");
        Self(path)
    }

    /// A copy of the demo model.
    fn with_demo(name: &str) -> Self {
        let folder = Self::new(name);
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model");
        for file in [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ] {
            std::fs::copy(demo.join(file), folder.0.join(file))
                .expect("the demo model can be copied");
        }
        folder
    }

    fn file(&self, name: &str) -> String {
        self.0
            .join(name)
            .to_str()
            .expect("the path is UTF-8")
            .to_owned()
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn help_and_version_need_no_gpu() {
    let mut version = tiefsee(&["--version"]);
    version
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    let version = ended(&mut version).done();
    assert_eq!(
        version.trim(),
        concat!("tiefsee ", env!("CARGO_PKG_VERSION"))
    );
    for command in [
        "run",
        "logits",
        "inspect",
        "perplexity",
        "plan",
        "completions",
    ] {
        let help = ended(&mut tiefsee(&[command, "--help"])).done();
        assert!(
            help.contains("Examples:") && help.contains(&format!("tiefsee {command}")),
            "{help}"
        );
    }
    let help = ended(&mut tiefsee(&["--help"])).done();
    assert!(
        help.contains("inspect") && help.contains("130 interrupted"),
        "{help}"
    );
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ended(&mut tiefsee(&["completions", shell])).done();
        assert!(script.contains("logits"), "{shell}");
    }
}

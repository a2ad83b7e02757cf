//! Files that nobody wrote: good ones, damaged at random. Whatever is in a file, reading it ends soon, without a
//! panic, and without memory that the file's size does not explain.
//!
//! Each kind of file is tried for `TIEFSEE_FUZZ_SECONDS` (3 if not set). A case that fails is kept under
//! `target/fuzz`, and every case there is tried first.

mod damage;
#[expect(dead_code, reason = "for the tests of reading")]
#[path = "../checkpoint/files.rs"]
mod files;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use damage::Damage;

/// How long one case may take: a second of an idle machine; tests run beside each other.
const LONGEST: Duration = Duration::from_secs(3);
/// Memory that a case may take for itself, and for each byte of its file. A regular expression alone may
/// take 16 MiB before its crate refuses it.
const MEMORY: u64 = 32 << 20;
const MEMORY_PER_BYTE: u64 = 64;

/// A kind of file.
struct Target {
    name: &'static str,
    /// Good files, from which the others are made.
    seeds: Vec<Vec<u8>>,
    /// Words that such files are made of.
    words: &'static [&'static str],
    /// Reads a file, well or not.
    read: fn(&[u8]),
}

fn fuzz(target: &Target) {
    let kept = folder();
    for case in files(&kept, target.name) {
        let bytes = fs::read(&case).expect("a kept case");
        if let Err(fault) = attempt(target, &bytes) {
            panic!("{}: {fault}", case.display());
        }
    }
    for (number, seed) in target.seeds.iter().enumerate() {
        if let Err(fault) = attempt(target, seed) {
            panic!("{}, undamaged file {number}: {fault}", target.name);
        }
    }
    let seconds = std::env::var("TIEFSEE_FUZZ_SECONDS").map_or(3, |seconds| {
        seconds.parse().expect("TIEFSEE_FUZZ_SECONDS is a number")
    });
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut damage = Damage::new(target.words);
    let mut cases = 0_u64;
    while Instant::now() < end {
        let bytes = damage.apply(&target.seeds);
        if let Err(fault) = attempt(target, &bytes) {
            fs::create_dir_all(&kept).expect("a folder for the case");
            let case = kept.join(format!("{}-{cases}", target.name));
            fs::write(&case, &bytes).expect("to keep the case");
            panic!("{}: {fault}", case.display());
        }
        cases += 1;
    }
    println!("{}: {cases} damaged files in {seconds} s", target.name);
    assert!(cases > 0, "no case was tried");
}

/// Reads a file, and says what is wrong with how that went.
fn attempt(target: &Target, bytes: &[u8]) -> Result<(), String> {
    let start = Instant::now();
    let mut caught = Ok(());
    let memory = allocation_counter::measure(|| {
        caught = catch_unwind(AssertUnwindSafe(|| (target.read)(bytes)));
    });
    let took = start.elapsed();
    let allowed = MEMORY + MEMORY_PER_BYTE * bytes.len() as u64;
    if caught.is_err() {
        return Err("a panic".into());
    }
    if took > LONGEST {
        return Err(format!("took {took:?}"));
    }
    if memory.bytes_max > allowed {
        return Err(format!(
            "took {} bytes, {allowed} at most",
            memory.bytes_max
        ));
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz")
}

fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("a kept case").path());
    let is_ours = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{name}-"))
    };
    paths.filter(is_ours).collect()
}

#[test]
fn gguf() {
    fuzz(&targets::gguf());
}

#[test]
fn safetensors() {
    fuzz(&targets::safetensors());
}

#[test]
fn index() {
    fuzz(&targets::index());
}

#[test]
fn config() {
    fuzz(&targets::config());
}

#[test]
fn tokenizer() {
    fuzz(&targets::tokenizer());
}

#[test]
fn template() {
    fuzz(&targets::template());
}

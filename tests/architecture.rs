//! The layers of the library, the sizes of its files, and that nothing is left untested.

use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of `src` with all it may use besides itself.
const LAYERS: [(&str, &[&str]); 13] = [
    ("formats", &[]),
    ("gpu", &["formats", "error"]),
    ("ops", &["gpu", "kernel"]),
    ("layers", &["gpu", "ops"]),
    ("checkpoint", &["error", "formats"]),
    (
        "models",
        &["gpu", "ops", "layers", "checkpoint", "formats", "error"],
    ),
    ("engine", &["gpu", "layers", "models", "ops", "error"]),
    ("text", &["error"]),
    ("reference", &[]),
    (
        "selftest",
        &["gpu", "ops", "kernel", "formats", "reference", "error"],
    ),
    (
        "llm",
        &[
            "engine",
            "text",
            "models",
            "layers",
            "checkpoint",
            "formats",
            "gpu",
            "selftest",
            "error",
        ],
    ),
    ("openai", &["llm", "engine", "text", "error"]),
    ("server", &["openai", "llm", "engine", "text", "error"]),
];

/// Programs: they may use whatever the library shows.
const PROGRAMS: [&str; 4] = ["cli", "main", "web", "lib"];

/// Files that may ask what they are compiled for.
const PLATFORMS: [&str; 5] = [
    "src/cli/signals.rs",
    "src/gpu/mod.rs",
    "src/llm/mod.rs",
    "src/main.rs",
    "src/lib.rs",
];

const MOST_LINES: usize = 400;
const MOST_KERNEL_LINES: usize = 150;
const MOST_FUNCTION_LINES: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Paths below a folder, from the root on, and texts, of Rust and WGSL files.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let extension = path.extension().unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if extension == "rs" || extension == "wgsl" {
                let name = path.strip_prefix(root()).expect("below the root");
                let name = name.to_string_lossy().replace('\\', "/");
                sources.push((name, fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    sources.sort_unstable();
    assert!(!sources.is_empty(), "{folder} is empty");
    sources
}

/// `src/gpu/mod.rs` and `src/gpu.rs` belong to `gpu`.
fn module_of(path: &str) -> &str {
    let below = path.strip_prefix("src/").expect("a file of src");
    below.split(['/', '.']).next().expect("a name")
}

/// What a file uses that it may not.
fn wrong_uses(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let mut wrong = Vec::new();
    if module != "gpu" && text.contains("wgpu::") {
        wrong.push(format!("{path} names wgpu"));
    }
    if PROGRAMS.contains(&module) {
        return wrong;
    }
    let below = match LAYERS.iter().find(|(name, _)| *name == module) {
        Some((_, below)) => *below,
        None if module == "error" => &[],
        None => return vec![format!("{path} belongs to no layer")],
    };
    // Every layer may embed programs.
    let text = text.replace("crate::wgsl!", "");
    for used in text.split("crate::").skip(1) {
        let end = used
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(used.len());
        let used = &used[..end];
        if used != module && !below.contains(&used) {
            wrong.push(format!("{path} uses {used:?}"));
        }
    }
    wrong
}

#[test]
fn modules_use_only_the_layers_below() {
    let wrong = sources("src")
        .iter()
        .flat_map(|(path, text)| wrong_uses(path, text))
        .collect::<Vec<_>>();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn wrong_uses_are_found() {
    for (path, text, found) in [
        (
            "src/ops/pad.rs",
            "use crate::layers::Batch;",
            "uses \"layers\"",
        ),
        (
            "src/formats/q.rs",
            "fn f(_: crate::error::Error) {}",
            "uses \"error\"",
        ),
        ("src/gpu/a/b.rs", "use crate::ops;", "uses \"ops\""),
        ("src/ops/pad.rs", "use crate::{gpu, layers};", "uses \"\""),
        (
            "src/engine/mod.rs",
            "fn f(_: wgpu::Buffer) {}",
            "names wgpu",
        ),
        ("src/cli/run.rs", "wgpu::Instance::default()", "names wgpu"),
        ("src/sampling/mod.rs", "", "no layer"),
        ("src/sampling.rs", "", "no layer"),
    ] {
        let wrong = wrong_uses(path, text);
        assert!(wrong.len() == 1 && wrong[0].ends_with(found), "{wrong:?}");
    }
    for (path, text) in [
        ("src/gpu/mod.rs", "use crate::formats::Format; wgpu::Buffer"),
        (
            "src/ops/pad.rs",
            "use super::Routes; use crate::kernel; use crate::gpu::{Pass, Tensor};",
        ),
        ("src/cli/run.rs", "use crate::llm::Llm; use crate::engine;"),
    ] {
        assert_eq!(wrong_uses(path, text), [""; 0]);
    }
}

/// The names and lengths of a file's functions, by the indentation that rustfmt gives them.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut functions = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((before, signature)) = line.trim_start().split_once("fn ") else {
            continue;
        };
        let qualified = |word| {
            matches!(word, "const" | "async" | "extern" | "unsafe") || str::starts_with(word, "pub")
        };
        // `pub(in a::b)` does not occur, so every qualifier is a word.
        if !before.split_whitespace().all(qualified) || line.ends_with(['}', ';']) {
            continue;
        }
        let is_end = |line: &&str| {
            let here = line.len() - line.trim_start().len() == indent;
            here && (line.trim_start() == "}"
                || line.trim_start().starts_with(')') && line.ends_with(';'))
        };
        let length = lines[first..]
            .iter()
            .position(is_end)
            .map_or(lines.len() - first, |last| last + 1);
        let name = signature.split(['(', '<']).next().unwrap_or_default();
        functions.push((name, length));
    }
    functions
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    let mut counted = 0;
    for (path, text) in ["src", "tests", "shaders"].into_iter().flat_map(sources) {
        let kernel = path.starts_with("shaders/");
        let most = if kernel {
            MOST_KERNEL_LINES
        } else {
            MOST_LINES
        };
        let lines = text.lines().count();
        if lines > most {
            long.push(format!("{path} has {lines} lines, {most} at most"));
        }
        if kernel {
            continue;
        }
        for (name, length) in functions(&text) {
            counted += 1;
            if length > MOST_FUNCTION_LINES {
                long.push(format!(
                    "{name} in {path} has {length} lines, {MOST_FUNCTION_LINES} at most"
                ));
            }
        }
    }
    assert_eq!(long, [""; 0]);
    assert!(counted > 300, "only {counted} functions are found");
}

#[test]
fn long_functions_are_found() {
    let head = "impl A {\n    pub(crate) async fn long<T>(\n        a: T,\n    ) -> u32 {\n";
    let body = "        let x = 1;\n".repeat(60);
    let tail = "    }\n\n    fn short() {\n    }\n    fn declared(\n        a: u32,\n    ) -> u32;\n    fn line() {}\n}\n";
    let text = [head, &body, tail].concat();
    let found = [("long", 64), ("short", 2), ("declared", 3)];
    assert_eq!(functions(&text), found);
}

#[test]
fn nothing_is_put_off() {
    // In two parts, so that this file passes too.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
    ];
    for (path, text) in ["src", "tests", "shaders"].into_iter().flat_map(sources) {
        for word in words {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

/// Code that the compiler cannot check: leave to use wgpu's matrix units, and what drivers kept, and nothing else.
#[test]
fn unsafe_code_is_in_two_places() {
    let mut places = Vec::new();
    for (path, text) in ["src", "examples"].into_iter().flat_map(sources) {
        let uses = text.matches(concat!("unsafe", " {")).count();
        places.extend((uses > 0).then_some((path, uses)));
    }
    let known = ["src/gpu/driver_cache.rs", "src/gpu/mod.rs"];
    assert_eq!(places, known.map(|path| (path.to_owned(), 1)));
    let lints = fs::read_to_string(root().join("Cargo.toml")).expect("a text");
    assert!(lints.contains("\nunsafe_code = \"deny\"\n"));
}

#[test]
fn platforms_are_named_in_few_files() {
    for (path, text) in sources("src") {
        let asks = [
            "cfg(target",
            "cfg(not(target",
            "cfg!(target",
            "cfg(windows",
            "cfg(unix",
        ]
        .iter()
        .any(|condition| text.contains(condition));
        assert!(
            !asks || PLATFORMS.contains(&path.as_str()),
            "{path} asks for the platform"
        );
    }
}

#[test]
fn every_op_is_checked_and_every_kernel_is_launched() {
    let tests: String = sources("tests/ops")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let ops: Vec<_> = sources("src/ops")
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/mod.rs"))
        .collect();
    for (path, _) in &ops {
        let stem = Path::new(path)
            .file_stem()
            .expect("a name")
            .to_string_lossy();
        assert!(
            tests.contains(&format!("fn check_{stem}(")),
            "{path} has no check in tests/ops"
        );
    }
    let launching = ops.into_iter().chain(sources("src/selftest"));
    let launching: String = launching.map(|(_, text)| text).collect();
    let readme = fs::read_to_string(root().join("shaders/README.md")).expect("shaders/README.md");
    let mut kernels = sources("shaders");
    kernels.retain(|(path, _)| path.matches('/').count() == 1);
    assert!(kernels.len() >= 19, "{} kernels are found", kernels.len());
    for (path, _) in &kernels {
        let stem = Path::new(path)
            .file_stem()
            .expect("a name")
            .to_string_lossy();
        assert!(
            launching.contains(&format!("kernel!(\"{stem}\")")),
            "nothing launches {path}"
        );
        assert!(
            readme.contains(&format!("`{stem}`")),
            "shaders/README.md does not list {path}"
        );
    }
}

#[test]
fn modules_say_what_they_are() {
    for (path, text) in sources("src") {
        let parts = path.ends_with("/mod.rs") || path.matches('/').count() == 1;
        // A file of an op or a layer says it at its one item.
        let one_item = ["src/ops/", "src/layers/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        assert!(
            text.starts_with("//!") || one_item && !parts,
            "{path} starts without //!"
        );
    }
}

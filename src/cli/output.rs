//! Writing for people and programs: results to standard output, the rest to standard error.
//!
//! Never panics when nobody reads, as the print macros do.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tiefsee::{Error, Result};

/// Writes a result, at once.
///
/// # Errors
/// [`Error::Io`] when standard output is closed or full.
pub(crate) fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::Io {
        path: "standard output".into(),
        source,
    })
}

/// Writes a result and ends the line.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_line(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Tells what is no result; what cannot be told is not worth an error.
pub(crate) fn note(text: &str) {
    _ = writeln!(io::stderr(), "{text}");
}

/// Whether an error only says that nobody reads the results any more.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether the user lets a terminal have colours.
pub(crate) fn allows_colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !set("NO_COLOR") && !dumb
}

/// Refuses a file that exists already; `how` is what would overwrite it.
///
/// # Errors
/// [`Error::Usage`] if `path` exists.
pub(crate) fn check_file(path: &Path, how: &str) -> Result<()> {
    // A link that leads nowhere is a file, too.
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let path = path.display();
    Err(Error::Usage(format!(
        "{path}: exists already; {how} overwrites it"
    )))
}

/// Refuses a file in a folder that is not there, before any work is done for it.
///
/// # Errors
/// [`Error::NotFound`] if the folder does not exist.
pub(crate) fn check_folder(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Error::NotFound(
            format!("{}: no such folder", folder.display()),
        )),
        _ => Ok(()),
    }
}

/// Has `write` make a file beside `path`, and moves it there only when it is complete.
///
/// # Errors
/// Those of `write`, and [`Error::Io`].
pub(crate) fn write_file<T>(path: &Path, write: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    pollster::block_on(write_file_async(path, async |part: &Path| write(part)))
}

/// [`write_file`] where writing awaits what is to be written.
///
/// # Errors
/// As [`write_file`].
pub(crate) async fn write_file_async<T>(
    path: &Path,
    write: impl AsyncFnOnce(&Path) -> Result<T>,
) -> Result<T> {
    write_files(&[path.to_owned()], async |parts: &[PathBuf]| {
        write(&parts[0]).await
    })
    .await
}

/// Has `write` make a file beside each of `paths`, and moves them there, one after the other, only when all
/// are complete.
///
/// # Errors
/// As [`write_file`]; if only some could be moved, it names those.
pub(crate) async fn write_files<T>(
    paths: &[PathBuf],
    write: impl AsyncFnOnce(&[PathBuf]) -> Result<T>,
) -> Result<T> {
    let part = |path: &PathBuf| {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        PathBuf::from(part)
    };
    let parts: Vec<_> = paths.iter().map(part).collect();
    let result = write(&parts).await;
    let result = result.and_then(|value| move_all(&parts, paths).map(|()| value));
    if result.is_err() {
        for part in &parts {
            _ = std::fs::remove_file(part);
        }
    }
    result
}

fn move_all(parts: &[PathBuf], paths: &[PathBuf]) -> Result<()> {
    for (index, (part, path)) in parts.iter().zip(paths).enumerate() {
        std::fs::rename(part, path).map_err(|source| {
            let moved: Vec<_> = paths[..index]
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let source = if moved.is_empty() {
                source
            } else {
                let what = format!("{source}; new already: {}", moved.join(", "));
                io::Error::new(source.kind(), what)
            };
            let path = path.clone();
            Error::Io { path, source }
        })?;
    }
    Ok(())
}

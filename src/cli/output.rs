//! Writing for people and programs: results to standard output, the rest to standard error.
//!
//! Never panics when nobody reads, as the print macros do.

use std::io::{self, IsTerminal, Write};
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

/// Whether standard output may be given colours.
pub(crate) fn has_colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// Refuses what [`write_file`] would have to refuse, before any work is done for it.
///
/// # Errors
/// [`Error::Usage`] if `path` exists and must not be overwritten, [`Error::NotFound`] if its
/// folder does not exist.
pub(crate) fn check_file(path: &Path, overwrite: Option<&str>) -> Result<()> {
    if let (true, Some(how)) = (path.exists(), overwrite) {
        return Err(Error::Usage(format!(
            "{}: exists already; {how} overwrites it",
            path.display()
        )));
    }
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
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let moved = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let result = write(&part).and_then(|()| std::fs::rename(&part, path).map_err(moved));
    if result.is_err() {
        _ = std::fs::remove_file(&part);
    }
    result
}

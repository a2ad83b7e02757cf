//! Where the files of a checkpoint come from. Knows nothing of what is in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, ready};

use super::CONFIG;
use super::gguf::only_model;
use crate::error::{Error, Result};

/// A folder of files that can be read in parts, wherever it lies.
pub trait Source {
    /// What messages call the folder.
    fn name(&self) -> String;

    /// The GGUF file that is the model, or the first of them, if the folder itself is not.
    fn model_file(&self) -> Option<String> {
        None
    }

    /// The bytes in `file`; `None` when there is no such file.
    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>>;

    /// The bytes of `file` in `range`, all of them or an error.
    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>>;
}

/// A folder on a local disk. Its files stay open once they are used.
pub struct Folder {
    path: PathBuf,
    /// The GGUF file that is the model.
    model_file: Option<String>,
    files: RefCell<HashMap<String, Rc<File>>>,
}

impl Folder {
    /// The folder at `path`; [`Error::NotFound`] when there is none.
    ///
    /// Where it has no config.json and only one GGUF model, that is its model.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let what = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                return Ok(Self {
                    model_file: only_model_file(&path),
                    path,
                    files: RefCell::default(),
                });
            }
            Ok(_) => "a file, not a model folder",
            Err(error) if error.kind() == ErrorKind::NotFound => "no such model folder",
            Err(source) => return Err(Error::Io { path, source }),
        };
        Err(Error::NotFound(format!("{}: {what}", path.display())))
    }

    /// The folder of the GGUF file at `path`, which is the model; [`Error::NotFound`] when there is none.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = path.file_name().and_then(|name| name.to_str());
        let not_found = |what: &str| Error::NotFound(format!("{}: {what}", path.display()));
        let file = file.ok_or_else(|| not_found("no name of a file"))?;
        if !path.exists() {
            return Err(not_found("no such file"));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self {
            path: folder.unwrap_or(Path::new(".")).to_owned(),
            model_file: Some(file.to_owned()),
            files: RefCell::default(),
        })
    }

    fn file_size(&self, file: &str) -> Result<Option<u64>> {
        let path = self.join(file)?;
        match fs::metadata(&path) {
            // Opening anything else, a pipe for example, might never return.
            Ok(metadata) if !metadata.is_file() => Err(Error::damaged(
                path.display().to_string(),
                "is not a regular file",
            )),
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn read_file(&self, file: &str, range: &Range<u64>) -> Result<Vec<u8>> {
        let path = self.join(file)?;
        let end = self.file_size(file)?.unwrap_or(0);
        if range.start > range.end || range.end > end {
            return Err(too_short(&path.display().to_string(), range, end));
        }
        self.read_open(file, &path, range)
            .map_err(|source| Error::Io { path, source })
    }

    fn read_open(&self, file: &str, path: &Path, range: &Range<u64>) -> std::io::Result<Vec<u8>> {
        let open = self.files.borrow().get(file).cloned();
        let open = match open {
            Some(open) => open,
            None => Rc::new(File::open(path)?),
        };
        self.files
            .borrow_mut()
            .entry(file.to_owned())
            .or_insert_with(|| Rc::clone(&open));

        let length = usize::try_from(range.end - range.start)
            .map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        let mut reader = &*open;
        reader.seek(SeekFrom::Start(range.start))?;
        reader.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn join(&self, file: &str) -> Result<PathBuf> {
        if is_plain_name(file) {
            Ok(self.path.join(file))
        } else {
            Err(Error::damaged(
                self.name(),
                format!("{file:?} is no name of a file in a folder"),
            ))
        }
    }
}

impl Source for Folder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn model_file(&self) -> Option<String> {
        self.model_file.clone()
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        ready(self.file_size(file)).boxed_local()
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        ready(self.read_file(file, &range)).boxed_local()
    }
}

/// The only GGUF model of a folder that is no model itself.
fn only_model_file(folder: &Path) -> Option<String> {
    if folder.join(CONFIG).exists() {
        return None;
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    only_model(entries.filter_map(|entry| entry.file_name().into_string().ok()))
}

/// Files that are part of the program.
pub struct Embedded {
    /// What messages call them.
    pub name: &'static str,
    /// Their names and contents.
    pub files: &'static [(&'static str, &'static [u8])],
}

impl Embedded {
    fn content(&self, file: &str) -> Option<&'static [u8]> {
        self.files
            .iter()
            .find(|(name, _)| *name == file)
            .map(|(_, content)| *content)
    }
}

impl Source for Embedded {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        let size = self.content(file).map(|content| content.len() as u64);
        ready(Ok(size)).boxed_local()
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        let content = self.content(file).unwrap_or_default();
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = content
            .get(within(range.start)..within(range.end))
            .map(<[u8]>::to_vec);
        let bytes = bytes.ok_or_else(|| {
            let end = content.len() as u64;
            too_short(&path(self, file), &range, end)
        });
        ready(bytes).boxed_local()
    }
}

/// Whether `name` can only mean a file right inside a folder.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_forbidden = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    !name.is_empty() && name != "." && !name.contains("..") && !name.contains(is_forbidden)
}

/// What messages call `file`.
pub(super) fn path(source: &dyn Source, file: &str) -> String {
    format!("{}/{file}", source.name())
}

/// The bytes of `file` in `range`, which is within its size; never fewer.
pub(super) async fn read_exactly(
    source: &dyn Source,
    file: &str,
    range: Range<u64>,
) -> Result<Vec<u8>> {
    let bytes = source.read(file, range.clone()).await?;
    if bytes.len() as u64 == range.end - range.start {
        Ok(bytes)
    } else {
        let end = range.start + bytes.len() as u64;
        Err(too_short(&path(source, file), &range, end))
    }
}

/// The text of `file`, of at most `limit` bytes; `None` when there is no such file.
pub(super) async fn read_text(
    source: &dyn Source,
    file: &str,
    limit: u64,
) -> Result<Option<String>> {
    let Some(size) = source.size(file).await? else {
        return Ok(None);
    };
    let damaged = |what| Error::damaged(path(source, file), what);
    if size > limit {
        return Err(damaged(format!(
            "has {size} bytes, but at most {limit} make sense"
        )));
    }
    let bytes = read_exactly(source, file, 0..size).await?;
    String::from_utf8(bytes).map(Some).map_err(|error| {
        damaged(format!(
            "is not UTF-8 at byte {}",
            error.utf8_error().valid_up_to()
        ))
    })
}

fn too_short(path: &str, range: &Range<u64>, end: u64) -> Error {
    let Range { start, end: wanted } = range;
    Error::damaged(
        path,
        format!("ends at byte {end}, but bytes {start} to {wanted} are wanted"),
    )
}

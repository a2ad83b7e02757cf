//! Models in several files, each called like `x-00001-of-00003.gguf`. Knows no tensor.

use super::container::{Header, read_header};
use crate::checkpoint::Source;
use crate::checkpoint::source::path;
use crate::error::{Error, Result};

const EXTENSION: &str = ".gguf";
const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Digits of a number in a name.
const DIGITS: usize = 5;

/// The name of a part.
struct PartName<'n> {
    prefix: &'n str,
    /// From 1 on.
    number: u64,
    count: u64,
}

impl<'n> PartName<'n> {
    /// `file` as the name of a part, if it is one.
    fn parse(file: &'n str) -> Option<Self> {
        let (rest, count) = numbered(file.strip_suffix(EXTENSION)?)?;
        let (prefix, number) = numbered(rest.strip_suffix("-of")?)?;
        (1..=count).contains(&number).then_some(Self {
            prefix,
            number,
            count,
        })
    }

    /// The name of another part.
    fn part(&self, number: u64) -> String {
        let Self { prefix, count, .. } = self;
        format!("{prefix}-{number:0DIGITS$}-of-{count:0DIGITS$}{EXTENSION}")
    }
}

/// `x-00003` as `x` and 3.
fn numbered(name: &str) -> Option<(&str, u64)> {
    let (rest, digits) = name.rsplit_once('-')?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Some((rest, digits.parse().ok()?)))?
}

/// The file that stands for the only model among the files of a folder.
pub(in crate::checkpoint) fn only_model(files: impl Iterator<Item = String>) -> Option<String> {
    let is_first = |file: &String| PartName::parse(file).is_none_or(|name| name.number == 1);
    let mut models = files.filter(|file| is_model_file(file) && is_first(file));
    let only = models.next()?;
    models.next().is_none().then_some(only)
}

/// Whether a file called so is one of GGUF.
pub fn is_model_file(file: &str) -> bool {
    let start = file.len().saturating_sub(EXTENSION.len());
    let end = file.as_bytes().get(start..);
    end.is_some_and(|end| end.eq_ignore_ascii_case(EXTENSION.as_bytes()))
}

/// The headers of all files of the model that `file` belongs to, in order, with their names.
pub(super) async fn read_set(source: &dyn Source, file: &str) -> Result<Vec<(String, Header)>> {
    let name = PartName::parse(file);
    let first = name.as_ref().map_or(file.to_owned(), |name| name.part(1));
    let Some(header) = read_header(source, &first).await? else {
        let missing = path(source, &first);
        return Err(if first == file {
            Error::NotFound(format!("{missing}: no such file"))
        } else {
            Error::damaged(missing, format!("no such file, but {file} is another part"))
        });
    };
    let count = check_first(&header, name.as_ref())?;
    let mut parts = vec![(first, header)];
    let Some(name) = name.filter(|_| count > 1) else {
        return Ok(parts);
    };
    for number in 2..=count {
        let part = name.part(number);
        let Some(header) = read_header(source, &part).await? else {
            let what = format!("no such file, but the model has {count} parts");
            return Err(Error::damaged(path(source, &part), what));
        };
        check(&header, NUMBER, number - 1)?;
        check(&header, COUNT, count)?;
        parts.push((part, header));
    }
    let (_, first) = &parts[0];
    let tensors = parts.iter().map(|(_, part)| part.tensors.len() as u64);
    if first.metadata.contains_key(TENSORS) {
        check(first, TENSORS, tensors.sum())?;
    }
    Ok(parts)
}

/// The number of parts that the first of them speaks of.
fn check_first(header: &Header, name: Option<&PartName>) -> Result<u64> {
    let damaged = |what: String| Error::damaged(header.path.as_str(), what);
    let number = |key| match header.metadata.get(key) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            None => {
                let what = format!("metadata `{key}` is {}, no count", value.brief());
                Err(damaged(what))
            }
            number => Ok(number),
        },
    };
    let count = number(COUNT)?.unwrap_or(1).max(1);
    let own = number(NUMBER)?.unwrap_or(0);
    if own != 0 {
        let part = own.saturating_add(1);
        return Err(damaged(format!(
            "is part {part} of {count}, but not called so"
        )));
    }
    let named = name.map_or(1, |name| name.count);
    if named != count {
        return Err(damaged(format!(
            "metadata `{COUNT}` is {count}, but the name says {named}: \
             parts are called like x-00001-of-{count:0DIGITS$}{EXTENSION}"
        )));
    }
    Ok(count)
}

fn check(header: &Header, key: &str, wanted: u64) -> Result<()> {
    let found = header.metadata.get(key);
    if found.and_then(super::MetadataValue::as_u64) == Some(wanted) {
        return Ok(());
    }
    let found = found.map_or("missing".to_owned(), |value| value.brief().to_string());
    let what = format!("metadata `{key}` is {found}, but should be {wanted}");
    Err(Error::damaged(header.path.as_str(), what))
}

//! Texts that commands read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tiefsee::{Error, Result};

/// The most bytes of a text.
const LARGEST_TEXT: u64 = 1 << 30;

/// A file in UTF-8; `-` is standard input.
///
/// # Errors
/// [`Error::Io`], or [`Error::Usage`] for what is no text.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    let unreadable = |source| Error::Io {
        path: file.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(LARGEST_TEXT + 1)
            .read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(LARGEST_TEXT + 1).read_to_end(&mut bytes))
    };
    read.map_err(unreadable)?;
    let path = file.display();
    if bytes.len() as u64 > LARGEST_TEXT {
        let what = format!("{path}: has more than {LARGEST_TEXT} bytes, too many for a text");
        return Err(Error::Usage(what));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Usage(format!("{path}: is not UTF-8 at byte {at}"))
    })
}

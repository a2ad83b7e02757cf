//! A file's beginning, read piece by piece. Knows only numbers and texts.

use crate::checkpoint::Source;
use crate::checkpoint::source::{path, read_exactly};
use crate::error::{Error, Result};

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;

/// The most bytes before the data: fifty times what the largest vocabularies take.
const LARGEST_HEADER: u64 = 256 << 20;

/// The most bytes of a name.
const LONGEST_NAME: u64 = 1024;

/// Reads a file from its first byte on.
pub(super) struct Reader<'s> {
    source: &'s dyn Source,
    file: &'s str,
    /// What messages call the file.
    pub(super) path: String,
    /// Bytes of the file.
    pub(super) size: u64,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    begin: u64,
    /// Bytes of the buffer that were taken.
    taken: usize,
}

impl<'s> Reader<'s> {
    /// At the beginning of `file`; `None` when there is no such file.
    pub(super) async fn open(source: &'s dyn Source, file: &'s str) -> Result<Option<Self>> {
        let size = source.size(file).await?;
        Ok(size.map(|size| Self {
            source,
            file,
            path: path(source, file),
            size,
            buffer: Vec::new(),
            begin: 0,
            taken: 0,
        }))
    }

    /// Where the next byte is in the file.
    pub(super) fn offset(&self) -> u64 {
        self.begin + self.taken as u64
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> u64 {
        self.size - self.offset()
    }

    /// An error about what is at this place: "metadata `x`", "has an unknown type".
    pub(super) fn damaged(&self, what: &str, is: &str) -> Error {
        let at = self.offset();
        Error::damaged(self.path.as_str(), format!("{what} at byte {at} {is}"))
    }

    /// The next `count` bytes, which are those of `what`.
    pub(super) async fn take(&mut self, count: u64, what: &str) -> Result<&[u8]> {
        let left = self.left();
        if count > left {
            let is = format!("has {count} bytes, but only {left} are left");
            return Err(self.damaged(what, &is));
        }
        let end = self.offset() + count;
        if end > LARGEST_HEADER {
            let what = format!("has more than {LARGEST_HEADER} bytes before its data");
            return Err(Error::unsupported(self.path.as_str(), what));
        }
        let buffered = self.begin + self.buffer.len() as u64;
        if end > buffered {
            self.buffer.drain(..self.taken);
            self.begin += self.taken as u64;
            self.taken = 0;
            let piece = buffered..end.max(buffered + PIECE).min(self.size);
            let piece = read_exactly(self.source, self.file, piece).await?;
            self.buffer.extend(piece);
        }
        let start = self.taken;
        self.taken += count as usize;
        Ok(&self.buffer[start..self.taken])
    }

    async fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what).await?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    /// A number of 32 bits.
    pub(super) async fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).await.map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub(super) async fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).await.map(u64::from_le_bytes)
    }

    /// A count of things of at least `least` bytes each.
    pub(super) async fn count(&mut self, least: u64, what: &str) -> Result<u64> {
        let count = self.u64(what).await?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.left() => Ok(count),
            _ => {
                let is = format!("says {count}, but only {} bytes follow", self.left());
                Err(self.damaged(what, &is))
            }
        }
    }

    /// A text's bytes behind their number, checked to be UTF-8.
    pub(super) async fn text(&mut self, what: &str) -> Result<&str> {
        let count = self.u64(what).await?;
        let (path, at) = (self.path.clone(), self.offset());
        let bytes = self.take(count, what).await?;
        std::str::from_utf8(bytes).map_err(|error| {
            let at = at + error.valid_up_to() as u64;
            Error::damaged(path, format!("{what} is not UTF-8 at byte {at}"))
        })
    }

    /// A name.
    pub(super) async fn name(&mut self, what: &str) -> Result<String> {
        let name = self.text(what).await?.to_owned();
        if name.len() as u64 > LONGEST_NAME {
            let is = format!("has {} bytes, too many for a name", name.len());
            return Err(self.damaged(what, &is));
        }
        Ok(name)
    }
}

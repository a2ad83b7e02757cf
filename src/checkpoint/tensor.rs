//! A tensor as it lies in its file, read by rows. Keeps nothing that it has read.

use std::fmt;
use std::ops::Range;

use safetensors::Dtype;

use super::numbers::{Decode, first_non_finite, first_non_finite_block, to_f32};
use super::scales::Scales;
use super::source::{Source, path, read_exactly};
use crate::error::{Error, Result};
use crate::formats::{Format, padded_rows};

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// One after the other, as in safetensors files.
    Numbers(Dtype),
    /// In blocks of a row that share scales, as in GGUF files.
    Blocks(&'static Format),
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(dtype) => write!(formatter, "{dtype}"),
            Self::Blocks(format) => formatter.write_str(&format.name.to_uppercase()),
        }
    }
}

impl Encoding {
    /// Bits of a row of `columns` numbers; `None` if that is too many, or not whole blocks.
    pub(super) fn row_bits(self, columns: u64) -> Option<u64> {
        match self {
            Self::Numbers(dtype) => columns.checked_mul(dtype.bitsize() as u64),
            Self::Blocks(format) => {
                let ggml = format.ggml.as_ref()?;
                let whole = columns.is_multiple_of(ggml.weights as u64);
                let bytes = (columns / ggml.weights as u64).checked_mul(ggml.bytes as u64);
                bytes.filter(|_| whole)?.checked_mul(8)
            }
        }
    }
}

/// Where a tensor lies in its file.
pub(super) struct Location {
    pub(super) encoding: Encoding,
    pub(super) shape: Vec<usize>,
    /// Bytes of the file.
    pub(super) bytes: Range<u64>,
}

/// A tensor of a checkpoint: what its header says, and the way to its data.
///
/// Its rows run along the last dimension: `[n]` is one row, `[experts, outer, inner]`
/// is `experts * outer` rows.
#[derive(Clone, Copy)]
pub struct StoredTensor<'c> {
    /// Its full name.
    pub name: &'c str,
    /// How its numbers are stored.
    pub encoding: Encoding,
    /// Its dimensions, the last of which is contiguous.
    pub shape: &'c [usize],
    source: &'c dyn Source,
    file: &'c str,
    begin: u64,
    end: u64,
    scales: Option<Scales<'c>>,
}

impl<'c> StoredTensor<'c> {
    /// `bytes` of the file are as many as `encoding` and `shape` say, whose product with
    /// every empty dimension taken as one does not overflow.
    pub(super) fn new(
        source: &'c dyn Source,
        file: &'c str,
        name: &'c str,
        encoding: Encoding,
        shape: &'c [usize],
        bytes: Range<u64>,
    ) -> Self {
        let Range { start: begin, end } = bytes;
        Self {
            name,
            encoding,
            shape,
            source,
            file,
            begin,
            end,
            scales: None,
        }
    }

    /// The same with a scale for each of its blocks.
    pub(super) fn scaled(self, scales: Option<Scales<'c>>) -> Self {
        Self { scales, ..self }
    }

    /// The product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.shape
            .split_last()
            .map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The last dimension; 1 for a scalar.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The bytes it takes in its file, without those of scales in a tensor of their own.
    pub fn bytes(&self) -> u64 {
        self.end - self.begin
    }

    /// The format that keeps it as it is stored; `None` if it has to be decoded.
    pub fn format(&self) -> Option<&'static Format> {
        match (self.encoding, &self.scales) {
            (Encoding::Blocks(format), _) => Some(format),
            (Encoding::Numbers(_), Some(scales)) => scales.format(),
            (Encoding::Numbers(dtype), None) => Format::of_dtype(dtype),
        }
    }

    /// Checks that it can be read as floats, by its type alone.
    ///
    /// [`Error::Unsupported`] as of [`Self::read_rows`].
    pub(super) fn check_floats(&self) -> Result<()> {
        match (self.encoding, &self.scales) {
            (Encoding::Blocks(_), _) => Ok(()),
            (Encoding::Numbers(_), Some(scales)) => scales.decoder().map(|_| ()),
            (Encoding::Numbers(dtype), None) => self.decoder(dtype).map(|_| ()),
        }
    }

    fn decoder(&self, dtype: Dtype) -> Result<Decode> {
        to_f32(dtype).ok_or_else(|| {
            let what = format!("has the type {dtype}, not F64, F32, F16 or BF16");
            self.unsupported(&what)
        })
    }

    /// Every number, as f32, in row-major order; errors as of [`Self::read_rows`].
    pub async fn read_all(&self) -> Result<Vec<f32>> {
        self.read_rows(0..self.rows()).await
    }

    /// The numbers of `rows`, as f32: `[rows.len(), columns]`.
    ///
    /// [`Error::Unsupported`] unless they are floats, FP8 among them only with scales,
    /// [`Error::Damaged`] when one of them is not finite.
    pub async fn read_rows(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let bytes = self.read_row_bytes(rows.clone()).await?;
        match (self.encoding, &self.scales) {
            (Encoding::Blocks(format), _) => Ok(decode_blocks(format, &bytes)),
            (Encoding::Numbers(_), Some(scales)) => {
                scales.decode(&bytes, rows, self.columns()).await
            }
            (Encoding::Numbers(dtype), None) => Ok(self.decoder(dtype)?(&bytes)),
        }
    }

    /// The numbers of `rows` as [`Self::format`] lays them out, each row filled up to whole blocks.
    ///
    /// Errors as of [`Self::read_rows`].
    ///
    /// # Panics
    /// If there is no such format.
    pub async fn read_planes(&self, rows: Range<usize>) -> Result<Vec<Vec<u8>>> {
        let bytes = self.read_row_bytes(rows.clone()).await?;
        match (self.encoding, &self.scales) {
            (Encoding::Blocks(format), _) => {
                let ggml = format.ggml.as_ref().expect("GGUF types have one");
                Ok((ggml.to_planes)(&bytes))
            }
            (Encoding::Numbers(_), Some(scales)) => {
                scales.planes(&bytes, rows, self.columns()).await
            }
            (Encoding::Numbers(_), None) => Ok(vec![self.whole_blocks(bytes)]),
        }
    }

    /// Plain numbers, each row filled up with zeros to whole blocks of its format.
    fn whole_blocks(&self, bytes: Vec<u8>) -> Vec<u8> {
        let block = self.format().expect("there is a format").block;
        let columns = self.columns();
        if columns.is_multiple_of(block) || bytes.is_empty() {
            return bytes;
        }
        let row_bits = self.encoding.row_bits(columns as u64).unwrap_or(0);
        let row = row_bits as usize / 8;
        padded_rows(&bytes, row, row / columns * columns.next_multiple_of(block))
    }

    /// The bytes of `rows` as they are stored: `[rows.len(), columns]`.
    ///
    /// [`Error::Damaged`] when one of the numbers, or of the scales in a GGUF file's blocks, is not finite;
    /// types that are no floats are not looked at.
    pub async fn read_row_bytes(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        let Range { start, end } = rows;
        assert!(
            start <= end && end <= self.rows(),
            "rows {start} to {end} of {}, which has {}",
            self.name,
            self.rows()
        );
        let row_bits = self.encoding.row_bits(self.columns() as u64);
        let Some(row_bits) = row_bits.filter(|bits| bits.is_multiple_of(8)) else {
            return Err(self.unsupported("has rows that are not whole bytes"));
        };
        let at = |row: usize| self.begin + row as u64 * (row_bits / 8);
        let bytes = read_exactly(self.source, self.file, at(start)..at(end)).await?;
        let bad = match self.encoding {
            Encoding::Numbers(dtype) => first_non_finite(dtype, &bytes),
            Encoding::Blocks(format) => first_non_finite_block(format, &bytes),
        };
        match bad {
            Some(index) => {
                let index = start * self.columns() + index;
                let what = format!("tensor `{}`: element {index} is not finite", self.name);
                Err(Error::damaged(self.path(), what))
            }
            None => Ok(bytes),
        }
    }

    /// What messages call its file.
    pub(super) fn path(&self) -> String {
        path(self.source, self.file)
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::unsupported(self.path(), format!("tensor `{}` {what}", self.name))
    }
}

fn decode_blocks(format: &Format, bytes: &[u8]) -> Vec<f32> {
    let ggml = format.ggml.as_ref().expect("GGUF types have one");
    let planes = (ggml.to_planes)(bytes);
    (format.unpack)(&planes.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

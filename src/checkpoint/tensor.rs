//! A tensor as it lies in its file, read by rows. Keeps nothing that it has read.

use std::ops::Range;

use safetensors::Dtype;

use super::numbers::{first_non_finite, to_f32};
use super::source::{Source, path, read_exactly};
use crate::error::{Error, Result};

/// A tensor of a checkpoint: what its header says, and the way to its data.
///
/// Its rows run along the last dimension: `[n]` is one row, `[experts, outer, inner]`
/// is `experts * outer` rows.
#[derive(Clone, Copy)]
pub struct StoredTensor<'c> {
    /// Its full name.
    pub name: &'c str,
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Its dimensions, the last of which is contiguous.
    pub shape: &'c [usize],
    source: &'c dyn Source,
    file: &'c str,
    begin: u64,
    end: u64,
}

impl<'c> StoredTensor<'c> {
    /// `bytes` of the file are as many as `dtype` and `shape` say, whose product with
    /// every empty dimension taken as one does not overflow.
    pub(super) fn new(
        source: &'c dyn Source,
        file: &'c str,
        name: &'c str,
        dtype: Dtype,
        shape: &'c [usize],
        bytes: Range<u64>,
    ) -> Self {
        let Range { start: begin, end } = bytes;
        Self {
            name,
            dtype,
            shape,
            source,
            file,
            begin,
            end,
        }
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

    /// The bytes it takes in its file.
    pub fn bytes(&self) -> u64 {
        self.end - self.begin
    }

    /// Every number, as f32, in row-major order; errors as of [`Self::read_rows`].
    pub async fn read_all(&self) -> Result<Vec<f32>> {
        self.read_rows(0..self.rows()).await
    }

    /// The numbers of `rows`, as f32: `[rows.len(), columns]`.
    ///
    /// [`Error::Unsupported`] unless they are stored as F64, F32, F16 or BF16,
    /// [`Error::Damaged`] when one of them is not finite.
    pub async fn read_rows(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let decode = to_f32(self.dtype).ok_or_else(|| {
            let what = format!("has the type {}, not F64, F32, F16 or BF16", self.dtype);
            self.unsupported(&what)
        })?;
        Ok(decode(&self.read_row_bytes(rows).await?))
    }

    /// The bytes of `rows` as they are stored: `[rows.len(), columns]`.
    ///
    /// [`Error::Damaged`] when they are F64, F32, F16 or BF16 and one of them is not
    /// finite; other types are not looked at.
    pub async fn read_row_bytes(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        let Range { start, end } = rows;
        assert!(
            start <= end && end <= self.rows(),
            "rows {start} to {end} of {}, which has {}",
            self.name,
            self.rows()
        );
        let row_bits = self.columns() as u64 * self.dtype.bitsize() as u64;
        if !row_bits.is_multiple_of(8) {
            return Err(self.unsupported("has rows that are not whole bytes"));
        }
        let at = |row: usize| self.begin + row as u64 * (row_bits / 8);
        let bytes = read_exactly(self.source, self.file, at(start)..at(end)).await?;
        match first_non_finite(self.dtype, &bytes) {
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

//! FP8 numbers and the scales of their blocks, as DeepSeek-V3 publishes them (arXiv 2412.19437, section 3.3).

use std::ops::Range;

use super::numbers::{Decode, to_f32};
use super::source::Source;
use super::tensor::{Encoding, StoredTensor};
use super::{Fields, Location};
use crate::error::{Error, Result};
use crate::formats::{self, Format};

/// What the name of a tensor of scales has behind that of its weight. Despite the name they are factors.
pub(super) const SUFFIX: &str = "_scale_inv";

/// The largest E4M3 number.
const LARGEST: f32 = 448.0;

/// Where the factors of a weight's blocks lie.
#[derive(Clone, Copy)]
pub(super) struct Scales<'c> {
    source: &'c dyn Source,
    file: &'c str,
    name: &'c str,
    location: &'c Location,
    /// Rows and columns of a block.
    block: [usize; 2],
}

impl<'c> Scales<'c> {
    /// The factors called `name` at `location` of `file`, one for each block of so many rows and columns.
    pub(super) fn new(
        source: &'c dyn Source,
        file: &'c str,
        (name, location): (&'c str, &'c Location),
        block: [usize; 2],
    ) -> Self {
        Self {
            source,
            file,
            name,
            location,
            block,
        }
    }

    /// The shape of the factors of a weight of `shape`.
    pub(super) fn shape_for(shape: &[usize], block: [usize; 2]) -> Option<[usize; 2]> {
        match *shape {
            [rows, columns] => Some([rows.div_ceil(block[0]), columns.div_ceil(block[1])]),
            _ => None,
        }
    }

    /// The format whose blocks are as wide, or narrower and so repeat their factor.
    pub(super) fn format(&self) -> Option<&'static Format> {
        let [_, columns] = self.block;
        [&formats::F8_E4M3, &formats::F8_E4M3_32]
            .into_iter()
            .find(|format| columns.is_multiple_of(format.block))
    }

    /// E4M3 numbers with their factors, which belong to `rows` of a weight of `columns`, as f32.
    pub(super) async fn decode(
        &self,
        bytes: &[u8],
        rows: Range<usize>,
        columns: usize,
    ) -> Result<Vec<f32>> {
        let factors = self.factors(&rows).await?;
        let mut values = Vec::with_capacity(bytes.len());
        for (row, bytes) in rows.zip(bytes.chunks_exact(columns.max(1))) {
            let factors = factors.row(row);
            let value = |(column, &byte): (usize, &u8)| {
                formats::from_e4m3(byte) * factors[column / self.block[1]]
            };
            values.extend(bytes.iter().enumerate().map(value));
        }
        Ok(values)
    }

    /// The same in [`Self::format`].
    pub(super) async fn planes(
        &self,
        bytes: &[u8],
        rows: Range<usize>,
        columns: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let format = self.format().expect("it was asked for");
        let factors = self.factors(&rows).await?;
        let padded = columns.next_multiple_of(format.block);
        let mut numbers = Vec::with_capacity(rows.len() * padded);
        let mut scales = Vec::with_capacity(rows.len() * padded / format.block * size_of::<f32>());
        for (row, bytes) in rows.zip(bytes.chunks_exact(columns.max(1))) {
            numbers.extend(bytes);
            numbers.resize(numbers.len().next_multiple_of(format.block), 0);
            let factors = factors.row(row);
            for first in (0..columns).step_by(format.block) {
                scales.extend(factors[first / self.block[1]].to_le_bytes());
            }
        }
        Ok(vec![numbers, scales])
    }

    /// The factors themselves.
    fn table(&self) -> StoredTensor<'c> {
        let Location {
            encoding,
            ref shape,
            ref bytes,
        } = *self.location;
        let (file, bytes) = (self.file, bytes.clone());
        StoredTensor::new(self.source, file, self.name, encoding, shape, bytes)
    }

    /// How factors are decoded.
    ///
    /// [`Error::Unsupported`] if they are no floats.
    pub(super) fn decoder(&self) -> Result<Decode> {
        let decode = match self.location.encoding {
            Encoding::Numbers(dtype) => to_f32(dtype),
            Encoding::Blocks(_) => None,
        };
        decode.ok_or_else(|| {
            let Self { name, location, .. } = self;
            let encoding = location.encoding;
            let what =
                format!("tensor `{name}` has the type {encoding}, which is not that of factors");
            Error::unsupported(self.table().path(), what)
        })
    }

    /// The factors of all blocks that `rows` of the weight touch.
    async fn factors(&self, rows: &Range<usize>) -> Result<Factors> {
        let (table, decode) = (self.table(), self.decoder()?);
        let first = rows.start / self.block[0];
        let blocks = first..rows.end.div_ceil(self.block[0]).max(first);
        let values = decode(&table.read_row_bytes(blocks).await?);
        let is_too_large = |factor: &&f32| !(**factor * LARGEST).is_finite();
        if let Some(factor) = values.iter().find(is_too_large) {
            let what = format!(
                "tensor `{}` has the factor {factor:e}, with which numbers are not finite",
                self.name
            );
            return Err(Error::damaged(table.path(), what));
        }
        Ok(Factors {
            values,
            columns: table.columns(),
            first,
            rows: self.block[0],
        })
    }
}

/// Rows of factors.
struct Factors {
    values: Vec<f32>,
    columns: usize,
    /// The row of blocks that comes first.
    first: usize,
    /// Rows of a block.
    rows: usize,
}

impl Factors {
    /// The factors of a row of the weight.
    fn row(&self, row: usize) -> &[f32] {
        &self.values[(row / self.rows - self.first) * self.columns..][..self.columns]
    }
}

/// The blocks of `quantization_config`; `None` where there is none.
///
/// [`Error::Unsupported`] for any method but DeepSeek's FP8.
pub(super) fn fp8_block(config: &Fields) -> Result<Option<[usize; 2]>> {
    let Some(fields) = config.object("quantization_config")? else {
        return Ok(None);
    };
    for (name, only) in [("quant_method", "fp8"), ("fmt", "e4m3")] {
        let found = fields.str_or(name, only)?;
        if found != only {
            return Err(
                fields.unsupported(name, &format!("is {found:?}; only {only:?} is supported"))
            );
        }
    }
    match fields.usizes("weight_block_size")?[..] {
        [] => Ok(Some([128, 128])),
        [rows, columns] if rows > 0 && columns > 0 => Ok(Some([rows, columns])),
        _ => Err(fields.damaged("weight_block_size", "is not two counts above 0")),
    }
}

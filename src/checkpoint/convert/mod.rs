//! A checkpoint in another format: as a GGUF file, or as safetensors with its texts.
//!
//! Reads and writes a few rows at a time. Knows nothing of the files that it writes to.

mod folder;
mod gguf_file;
mod recipe;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use super::{Checkpoint, StoredTensor};
use crate::error::{Error, Result};
use crate::formats::Format;

use recipe::Outline;
pub use recipe::Recipe;

/// Values that are read at a time.
const SLAB: usize = 1 << 22;

/// A model that is to be written.
pub struct Conversion<'c> {
    tensors: Vec<Converted<'c>>,
    /// What the file of weights begins with.
    header: Vec<u8>,
    /// Tensors begin at multiples of so many bytes.
    alignment: usize,
    /// The texts beside it, by their files' names.
    pub texts: Vec<(&'static str, String)>,
}

/// Rows to blocks: [`pack_blocks`], on as many threads as there are.
pub type Packer<'p> = &'p dyn Fn(&'static Format, &[f32]) -> Vec<u8>;

/// A tensor that is to be written.
struct Converted<'c> {
    name: String,
    shape: Vec<usize>,
    format: &'static Format,
    parts: Vec<Part<'c>>,
}

/// Rows that follow each other.
enum Part<'c> {
    Stored {
        tensor: StoredTensor<'c>,
        rows: Range<usize>,
        order: Order,
    },
    Values(Vec<f32>),
}

/// In which order the rows of a part are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    AsStored,
    /// Each row of the first half, then its neighbour of the second.
    Alternating,
    /// The inverse.
    Halves,
    /// Columns become rows.
    Transposed,
}

impl<'c> Conversion<'c> {
    /// `checkpoint` as a GGUF file of a model called `name`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what GGUF files have no name for, [`Error::Damaged`] for what does not
    /// fit together.
    pub async fn to_gguf(checkpoint: &'c Checkpoint, recipe: &Recipe, name: &str) -> Result<Self> {
        gguf_file::convert(checkpoint, recipe, name).await
    }

    /// `checkpoint` as config.json, model.safetensors and the texts of a folder.
    ///
    /// # Errors
    /// As [`Self::to_gguf`].
    pub async fn to_folder(checkpoint: &'c Checkpoint, recipe: &Recipe) -> Result<Self> {
        folder::convert(checkpoint, recipe).await
    }

    /// Tensors and bytes of each format.
    pub fn formats(&self) -> BTreeMap<&'static str, (usize, u64)> {
        let mut formats: BTreeMap<_, (usize, u64)> = BTreeMap::new();
        for tensor in &self.tensors {
            let (count, bytes) = formats.entry(tensor.format.name).or_default();
            *count += 1;
            *bytes += tensor.bytes();
        }
        formats
    }

    /// Bytes of the file of weights.
    pub fn bytes(&self) -> u64 {
        let alignment = self.alignment as u64;
        let tensor = |tensor: &Converted| tensor.bytes().next_multiple_of(alignment);
        self.header.len() as u64 + self.tensors.iter().map(tensor).sum::<u64>()
    }

    /// Writes the file of weights; `progress` is told the bytes of each piece.
    ///
    /// # Errors
    /// Those of reading, those of `progress`, and [`Error::Io`] for `out`, which messages call `path`.
    pub async fn write(
        &self,
        (path, out): (&Path, &mut dyn Write),
        pack: Packer<'_>,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let mut put = |bytes: &[u8]| {
            let failed = |source| Error::Io {
                path: path.to_owned(),
                source,
            };
            out.write_all(bytes).map_err(failed)?;
            progress(bytes.len() as u64)
        };
        put(&self.header)?;
        for tensor in &self.tensors {
            for part in &tensor.parts {
                for piece in part.pieces() {
                    put(&part.read(piece, tensor.format, pack).await?)?;
                }
            }
            let bytes = tensor.bytes();
            let padding = bytes.next_multiple_of(self.alignment as u64) - bytes;
            put(&vec![0; padding as usize])?;
        }
        Ok(())
    }
}

impl Converted<'_> {
    /// Bytes of its data.
    fn bytes(&self) -> u64 {
        let rows: usize = self.shape.iter().rev().skip(1).product();
        rows as u64 * row_bytes(self.format, self.shape.last().copied().unwrap_or(1))
    }
}

/// Bytes of a row of whole blocks.
fn row_bytes(format: &Format, columns: usize) -> u64 {
    let ggml = format
        .ggml
        .as_ref()
        .expect("recipes have only such formats");
    (columns / ggml.weights * ggml.bytes) as u64
}

impl<'c> Part<'c> {
    fn all(tensor: StoredTensor<'c>) -> Self {
        Self::Stored {
            tensor,
            rows: 0..tensor.rows(),
            order: Order::AsStored,
        }
    }

    /// Ranges of rows that are read together.
    fn pieces(&self) -> Vec<Range<usize>> {
        match self {
            Self::Values(_) => std::iter::once(0..1).collect(),
            Self::Stored {
                tensor,
                rows,
                order: Order::AsStored,
            } => {
                let step = (SLAB / tensor.columns().max(1)).max(1);
                let first = rows.clone().step_by(step);
                first
                    .map(|first| first..rows.end.min(first + step))
                    .collect()
            }
            // No more than a head.
            Self::Stored { rows, .. } => vec![rows.clone()],
        }
    }

    /// Rows in `format`.
    async fn read(
        &self,
        piece: Range<usize>,
        format: &'static Format,
        pack: Packer<'_>,
    ) -> Result<Vec<u8>> {
        let (tensor, order) = match self {
            Self::Values(values) => return Ok(pack(format, values)),
            Self::Stored { tensor, order, .. } => (tensor, *order),
        };
        let (rows, columns) = (piece.len(), tensor.columns());
        if order != Order::Transposed && tensor.format() == Some(format) {
            let bytes = tensor.read_row_bytes(piece).await?;
            return Ok(order.arrange(&bytes, rows, row_bytes(format, columns) as usize));
        }
        let values = tensor.read_rows(piece).await?;
        Ok(pack(format, &order.arrange(&values, rows, columns)))
    }
}

impl Order {
    /// `[rows, width]` in this order.
    fn arrange<T: Copy>(self, values: &[T], rows: usize, width: usize) -> Vec<T> {
        if self == Self::AsStored {
            return values.to_vec();
        }
        let half = rows / 2;
        let from = |row: usize| match self {
            Self::AsStored | Self::Transposed => row,
            Self::Alternating => row / 2 + row % 2 * half,
            Self::Halves if row < half => 2 * row,
            Self::Halves => 2 * (row - half) + 1,
        };
        if self == Self::Transposed {
            let column = |column: usize| (0..rows).map(move |row| values[row * width + column]);
            return (0..width).flat_map(column).collect();
        }
        let rows = (0..rows).map(|row| &values[from(row) * width..][..width]);
        rows.collect::<Vec<_>>().concat()
    }
}

/// Whole rows in `format`, as they lie in a file.
#[must_use]
pub fn pack_blocks(format: &Format, values: &[f32]) -> Vec<u8> {
    let ggml = format
        .ggml
        .as_ref()
        .expect("recipes have only such formats");
    // Plain numbers are packed in groups that files do not know.
    let mut whole = values.to_vec();
    whole.resize(values.len().next_multiple_of(format.block), 0.0);
    let planes = (format.pack)(&whole);
    let planes: Vec<_> = planes.iter().map(Vec::as_slice).collect();
    let mut blocks = (ggml.to_blocks)(&planes);
    blocks.truncate(values.len() / ggml.weights * ggml.bytes);
    blocks
}

/// The tensors that are weights, and what recipes know of the model: scales and constants are not converted.
///
/// # Errors
/// Those of tensors that are empty or no floats.
fn weights(checkpoint: &Checkpoint) -> Result<(Vec<StoredTensor<'_>>, Outline)> {
    let outline = Outline {
        layers: checkpoint.fields()?.usize("num_hidden_layers")?,
        is_tied: checkpoint.tensor("lm_head.weight").is_none(),
    };
    let is_weight = |tensor: &StoredTensor| {
        let scaled = tensor.name.strip_suffix(super::SUFFIX);
        scaled.is_none_or(|name| checkpoint.tensor(name).is_none())
            && !tensor.name.ends_with("rotary_emb.inv_freq")
    };
    let tensors: Vec<_> = checkpoint.tensors().filter(is_weight).collect();
    for tensor in &tensors {
        if tensor.shape.contains(&0) {
            let StoredTensor { name, shape, .. } = tensor;
            let what = format!("tensor `{name}` has the empty shape {shape:?}");
            return Err(Error::damaged(tensor.path(), what));
        }
        tensor.check_floats()?;
    }
    Ok((tensors, outline))
}

/// A tensor of `shape` made of `parts`.
fn converted<'c>(
    name: String,
    shape: Vec<usize>,
    format: &'static Format,
    parts: Vec<Part<'c>>,
) -> Converted<'c> {
    Converted {
        name,
        shape,
        format,
        parts,
    }
}

/// The rows of a tensor of Llama's, those of queries and keys in another order: GGUF files have neighbours turn
/// together.
fn llama_rows<'c>(
    checkpoint: &'c Checkpoint,
    tensor: StoredTensor<'c>,
    order: Order,
) -> Result<Vec<Part<'c>>> {
    let count = match tensor.name.rsplit('.').nth(1) {
        Some("q_proj") => "num_attention_heads",
        Some("k_proj") => "num_key_value_heads",
        _ => return Ok(vec![Part::all(tensor)]),
    };
    if tensor.shape.len() != 2 {
        let name = tensor.name;
        let what = format!("tensor `{name}` is no matrix; biases of Llama are not supported");
        return Err(Error::unsupported(tensor.path(), what));
    }
    let fields = checkpoint.fields()?;
    let all = fields.usize("num_attention_heads")?;
    heads(tensor, fields.usize_or(count, all)?, order)
}

/// One part for each head of `tensor`, whose rows change their order.
fn heads(tensor: StoredTensor<'_>, heads: usize, order: Order) -> Result<Vec<Part<'_>>> {
    let rows = tensor.rows();
    if heads == 0 || !rows.is_multiple_of(2 * heads) {
        let what = format!("tensor `{}` has {rows} rows for {heads} heads", tensor.name);
        return Err(Error::damaged(tensor.path(), what));
    }
    let height = rows / heads;
    let part = |head: usize| Part::Stored {
        tensor,
        rows: head * height..(head + 1) * height,
        order,
    };
    Ok((0..heads).map(part).collect())
}

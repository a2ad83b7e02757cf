//! What stands before a GGUF file's data: counts, metadata, and where its tensors are.

use super::metadata::{self, Metadata};
use super::reader::Reader;
use super::tensors::MOST_TENSORS;
use crate::checkpoint::Source;
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"GGUF";
/// Bytes of a key and its value, of a tensor's entry, at least.
const LEAST_KEY: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;
const MOST_DIMENSIONS: u32 = 4;
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u64 = 32;

/// A file without its data.
pub(super) struct Header {
    /// What messages call the file.
    pub(super) path: String,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
    /// Bytes that every tensor's offset is a multiple of.
    pub(super) alignment: u64,
    /// Where the data begins.
    pub(super) data: u64,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// What a file says of a tensor.
pub(super) struct TensorInfo {
    pub(super) name: String,
    /// The last is contiguous, the other way round than in the file.
    pub(super) shape: Vec<u64>,
    /// The number of its type.
    pub(super) kind: u32,
    /// Where it begins in the data.
    pub(super) offset: u64,
}

/// The header of `file`; `None` when there is no such file.
pub(super) async fn read_header(source: &dyn Source, file: &str) -> Result<Option<Header>> {
    let Some(mut reader) = Reader::open(source, file).await? else {
        return Ok(None);
    };
    if reader.take(4, "the magic").await? != MAGIC {
        let what = "is no GGUF file: it does not begin with GGUF";
        return Err(Error::damaged(reader.path, what));
    }
    check_version(&mut reader).await?;
    let tensors = reader.count(LEAST_TENSOR, "the count of tensors").await?;
    if tensors > MOST_TENSORS {
        let what = format!("has {tensors} tensors; up to {MOST_TENSORS} are supported");
        return Err(Error::unsupported(reader.path.as_str(), what));
    }
    let keys = reader.count(LEAST_KEY, "the count of metadata").await?;
    let metadata = metadata::read(&mut reader, keys).await?;
    let alignment = alignment(&reader.path, &metadata)?;
    let mut infos = Vec::new();
    for index in 0..tensors {
        infos.push(read_info(&mut reader, index).await?);
    }
    let data = reader.offset().checked_next_multiple_of(alignment);
    // A file of metadata alone may end before its data would begin.
    let data = data.unwrap_or(u64::MAX).min(reader.size);
    Ok(Some(Header {
        path: reader.path,
        metadata,
        tensors: infos,
        alignment,
        data,
        size: reader.size,
    }))
}

async fn check_version(reader: &mut Reader<'_>) -> Result<()> {
    let version = reader.u32("the version").await?;
    let what = match version {
        2 | 3 => return Ok(()),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            "has its bytes in big-endian order; only little-endian files are supported".to_owned()
        }
        _ => format!("is GGUF version {version}; there is 2, 3"),
    };
    Err(Error::unsupported(reader.path.as_str(), what))
}

fn alignment(path: &str, metadata: &Metadata) -> Result<u64> {
    let Some(value) = metadata.get(ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let alignment = value
        .as_u64()
        .filter(|alignment| alignment.is_power_of_two());
    alignment.ok_or_else(|| {
        let what = format!(
            "metadata `{ALIGNMENT}` is {}, not a power of two",
            value.brief()
        );
        Error::damaged(path, what)
    })
}

async fn read_info(reader: &mut Reader<'_>, index: u64) -> Result<TensorInfo> {
    let name = reader.name(&format!("the name of tensor {index}")).await?;
    let what = format!("tensor `{name}`");
    let dimensions = reader.u32(&what).await?;
    if dimensions == 0 || dimensions > MOST_DIMENSIONS {
        let is = format!("has {dimensions} dimensions, not 1 to {MOST_DIMENSIONS}");
        return Err(reader.damaged(&what, &is));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(reader.u64(&what).await?);
    }
    shape.reverse();
    Ok(TensorInfo {
        name,
        shape,
        kind: reader.u32(&what).await?,
        offset: reader.u64(&what).await?,
    })
}

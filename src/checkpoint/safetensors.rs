//! The header of a safetensors file, checked against the file before anything in it is
//! believed. Never reads a tensor's data.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::source::{Source, path, read_exactly};
use super::tensor::{Encoding, Location};
use super::unique::unique_entries;
use crate::error::{Error, Result};

/// Bytes of the header's length at the start of a file.
const LENGTH: u64 = 8;

/// The most bytes that the format allows a header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Dimensions of a tensor that make sense.
const MOST_DIMENSIONS: usize = 8;

/// The tensors of `file`; `None` when there is no such file.
pub(super) async fn read_header(
    source: &dyn Source,
    file: &str,
) -> Result<Option<BTreeMap<String, Location>>> {
    let Some(size) = source.size(file).await? else {
        return Ok(None);
    };
    let path = path(source, file);
    let damaged = |what| Error::damaged(path.as_str(), what);
    if size < LENGTH {
        return Err(damaged(format!(
            "has {size} bytes, too few for a safetensors file"
        )));
    }
    let length = read_exactly(source, file, 0..LENGTH).await?;
    let length = length
        .iter()
        .rev()
        .fold(0, |length, &byte| length << 8 | u64::from(byte));
    if length > LONGEST_HEADER || length > size - LENGTH {
        return Err(damaged(format!(
            "the length at byte 0 says that the header has {length} bytes, but the file has {size}"
        )));
    }
    let data = LENGTH + length;
    let header = read_exactly(source, file, LENGTH..data).await?;
    let header = std::str::from_utf8(&header).map_err(|error| {
        let at = LENGTH as usize + error.valid_up_to();
        damaged(format!("the header is not UTF-8 at byte {at}"))
    })?;
    let Header(entries) = serde_json::from_str(header)
        .map_err(|error| damaged(format!("the header after byte {LENGTH}: {error}")))?;
    locate(&path, entries, data..size).map(Some)
}

/// What the header says of a tensor. Unlike the type of the safetensors crate it has
/// offsets beyond 4 GiB where pointers have 32 bits, too.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// The checked places of `entries` in the file called `path`, whose data is `data`.
fn locate(
    path: &str,
    entries: BTreeMap<String, Option<Entry>>,
    data: Range<u64>,
) -> Result<BTreeMap<String, Location>> {
    let tensors = entries
        .into_iter()
        .filter_map(|(name, entry)| Some((name, entry?)));
    let located: BTreeMap<_, _> = tensors
        .map(|(name, entry)| {
            let location = locate_one(path, &name, entry, &data)?;
            Ok((name, location))
        })
        .collect::<Result<_>>()?;
    check_coverage(path, &located, &data)?;
    Ok(located)
}

fn locate_one(path: &str, name: &str, entry: Entry, data: &Range<u64>) -> Result<Location> {
    let damaged = |what| Error::damaged(path, format!("tensor `{name}` {what}"));
    let Entry {
        dtype,
        shape: Shape(shape),
        data_offsets: (begin, end),
    } = entry;
    let dtype = known_dtype(&dtype).ok_or_else(|| {
        let what = format!("tensor `{name}` has the unknown type {dtype:?}");
        Error::unsupported(path, what)
    })?;

    // Empty dimensions count as one here, so that no later product overflows either.
    let shape_too_large = || damaged(format!("has the shape {shape:?}, which is too large"));
    let bits = shape
        .iter()
        .try_fold(dtype.bitsize() as u64, |bits, &dim| {
            bits.checked_mul(dim.max(1))
        })
        .ok_or_else(shape_too_large)?;
    let bits = if shape.contains(&0) { 0 } else { bits };
    let shape: Vec<usize> = shape
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect::<Option<_>>()
        .ok_or_else(shape_too_large)?;

    if begin > end {
        return Err(damaged(format!(
            "begins at data offset {begin}, after its end at {end}"
        )));
    }
    let available = data.end - data.start;
    if end > available {
        return Err(damaged(format!(
            "ends at data offset {end}, but the file has only {available} bytes of data"
        )));
    }
    if bits % 8 != 0 || bits / 8 != end - begin {
        return Err(damaged(format!(
            "has the shape {shape:?} and type {dtype}, {} bytes, but data offsets {begin} to {end}",
            bits.div_ceil(8)
        )));
    }
    Ok(Location {
        encoding: Encoding::Numbers(dtype),
        shape,
        bytes: data.start + begin..data.start + end,
    })
}

fn known_dtype(name: &str) -> Option<Dtype> {
    let name: StrDeserializer<serde::de::value::Error> = StrDeserializer::new(name);
    Dtype::deserialize(name).ok()
}

/// The format demands that every byte of data belongs to exactly one tensor.
fn check_coverage(
    path: &str,
    tensors: &BTreeMap<String, Location>,
    data: &Range<u64>,
) -> Result<()> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_unstable_by_key(|(_, location)| (location.bytes.start, location.bytes.end));

    let mut end = data.start;
    let mut last = "";
    for (name, Location { bytes, .. }) in in_order {
        let start = bytes.start;
        if start < end {
            let what = format!("tensors `{last}` and `{name}` overlap at byte {start}");
            return Err(Error::damaged(path, what));
        }
        if start > end {
            let what = format!("bytes {end} to {start}, before tensor `{name}`, are in no tensor");
            return Err(Error::damaged(path, what));
        }
        end = bytes.end;
        last = name;
    }
    if end < data.end {
        let what = format!(
            "bytes {end} to {}, the last of the file, are in no tensor",
            data.end
        );
        return Err(Error::damaged(path, what));
    }
    Ok(())
}

/// The entries of a header; `None` for its `__metadata__`.
struct Header(BTreeMap<String, Option<Entry>>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Header, A::Error> {
        unique_entries(map, |name, map| match name {
            "__metadata__" => map.next_value::<Metadata>().map(|Metadata| None),
            _ => map.next_value().map(Some),
        })
        .map(Header)
    }
}

/// Texts by name, of no use here: checked, but not kept.
struct Metadata;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Metadata, A::Error> {
        while map.next_entry::<String, String>()?.is_some() {}
        Ok(Metadata)
    }
}

/// The dimensions of a tensor; a list without end is refused while it is read.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut dims: A) -> std::result::Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(dim) = dims.next_element()? {
            if shape.len() == MOST_DIMENSIONS {
                return Err(A::Error::invalid_length(shape.len() + 1, &self));
            }
            shape.push(dim);
        }
        Ok(Shape(shape))
    }
}

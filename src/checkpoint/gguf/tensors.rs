//! Where the tensors of a file lie, checked against the file before anything is believed.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::container::{Header, TensorInfo};
use super::names::{Renamed, hf_name};
use crate::checkpoint::tensor::{Encoding, Location};
use crate::error::{Error, Result};
use crate::formats::Format;

/// The most tensors of a file, each expert's counted: twice what the largest models have.
pub(super) const MOST_TENSORS: u64 = 1 << 17;

/// What llama.cpp calls the types that it has or had, by their numbers.
const TYPES: [&str; 41] = [
    "F32",
    "F16",
    "Q4_0",
    "Q4_1",
    "Q4_2",
    "Q4_3",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q8_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "I8",
    "I16",
    "I32",
    "I64",
    "F64",
    "IQ1_M",
    "BF16",
    "Q4_0_4_4",
    "Q4_0_4_8",
    "Q4_0_8_8",
    "TQ1_0",
    "TQ2_0",
    "IQ4_NL_4_4",
    "IQ4_NL_4_8",
    "IQ4_NL_8_8",
    "MXFP4",
    "NVFP4",
];

/// The tensors of a file of `architecture` under Hugging Face's names; those that have none keep
/// their own.
pub(super) fn locate(header: &Header, architecture: &str) -> Result<BTreeMap<String, Location>> {
    let located = header.tensors.iter().map(|info| locate_one(header, info));
    let located: Vec<Location> = located.collect::<Result<_>>()?;
    check_overlaps(header, &located)?;
    let mut tensors = BTreeMap::new();
    for (info, location) in header.tensors.iter().zip(located) {
        let renamed = match hf_name(architecture, &info.name) {
            Some(Renamed::Whole(name)) => vec![(name, location)],
            Some(Renamed::Experts(name)) => split(header, info, &location, &name)?,
            None => vec![(info.name.clone(), location)],
        };
        for (name, location) in renamed {
            if tensors.insert(name, location).is_some() {
                return Err(damaged(header, info, "appears twice"));
            }
            if tensors.len() as u64 > MOST_TENSORS {
                let what = format!("has more than {MOST_TENSORS} tensors");
                return Err(Error::unsupported(header.path.as_str(), what));
            }
        }
    }
    Ok(tensors)
}

fn damaged(header: &Header, info: &TensorInfo, what: &str) -> Error {
    Error::damaged(
        header.path.as_str(),
        format!("tensor `{}` {what}", info.name),
    )
}

fn locate_one(header: &Header, info: &TensorInfo) -> Result<Location> {
    let encoding = encoding(info.kind).ok_or_else(|| {
        let known = TYPES.get(info.kind as usize);
        let known = known.map_or(String::new(), |name| format!(" ({name})"));
        let TensorInfo { name, kind, .. } = info;
        let what = format!("tensor `{name}` has the type {kind}{known}, which is not supported");
        Error::unsupported(header.path.as_str(), what)
    })?;
    let bytes = bytes(header, info, encoding)?;
    let TensorInfo { shape, offset, .. } = info;
    let dims = shape.iter().map(|&dim| usize::try_from(dim).ok());
    let dims = dims.collect::<Option<_>>();
    let shape: Vec<usize> = dims.ok_or_else(|| too_large(header, info))?;
    if !offset.is_multiple_of(header.alignment) {
        let alignment = header.alignment;
        let what = format!("is at data offset {offset}, which is no multiple of {alignment}");
        return Err(damaged(header, info, &what));
    }
    let available = header.size - header.data;
    let end = offset.checked_add(bytes).filter(|&end| end <= available);
    let end = end.ok_or_else(|| {
        let what = format!(
            "has {bytes} bytes at data offset {offset}, but the file has only {available} bytes of data"
        );
        damaged(header, info, &what)
    })?;
    Ok(Location {
        encoding,
        shape,
        bytes: header.data + offset..header.data + end,
    })
}

fn too_large(header: &Header, info: &TensorInfo) -> Error {
    let what = format!("has the shape {:?}, which is too large", info.shape);
    damaged(header, info, &what)
}

/// The bytes that a tensor takes.
fn bytes(header: &Header, info: &TensorInfo, encoding: Encoding) -> Result<u64> {
    let shape = &info.shape;
    let too_large = || too_large(header, info);
    if shape.contains(&0) {
        let what = format!("has the empty shape {shape:?}");
        return Err(damaged(header, info, &what));
    }
    let (columns, outer) = shape.split_last().ok_or_else(too_large)?;
    if let Encoding::Blocks(Format {
        ggml: Some(ggml), ..
    }) = encoding
        && !columns.is_multiple_of(ggml.weights as u64)
    {
        let what = format!(
            "has rows of {columns} numbers of the type {encoding}, not whole blocks of {}",
            ggml.weights
        );
        return Err(damaged(header, info, &what));
    }
    let row = encoding.row_bits(*columns).ok_or_else(too_large)? / 8;
    let bytes = outer
        .iter()
        .try_fold(row, |bytes, &dim| bytes.checked_mul(dim));
    bytes.ok_or_else(too_large)
}

/// How numbers of a type are stored; `None` for types that are not known.
fn encoding(kind: u32) -> Option<Encoding> {
    let dtype = match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        24 => Dtype::I8,
        25 => Dtype::I16,
        26 => Dtype::I32,
        27 => Dtype::I64,
        28 => Dtype::F64,
        30 => Dtype::BF16,
        _ => return Format::of_ggml(kind).map(Encoding::Blocks),
    };
    Some(Encoding::Numbers(dtype))
}

fn check_overlaps(header: &Header, located: &[Location]) -> Result<()> {
    let mut in_order: Vec<_> = header.tensors.iter().zip(located).collect();
    in_order.sort_unstable_by_key(|(_, location)| (location.bytes.start, location.bytes.end));
    let pairs = in_order.iter().zip(in_order.iter().skip(1));
    for ((last, before), (next, after)) in pairs {
        let start = after.bytes.start;
        if start < before.bytes.end {
            let what = format!("overlaps tensor `{}` at byte {start}", last.name);
            return Err(damaged(header, next, &what));
        }
    }
    Ok(())
}

/// The tensor of each expert out of those of all, one behind the other.
fn split(
    header: &Header,
    info: &TensorInfo,
    location: &Location,
    name: &dyn Fn(usize) -> String,
) -> Result<Vec<(String, Location)>> {
    let [experts, rows, columns] = location.shape[..] else {
        let what = format!("has the shape {:?}, not that of experts", location.shape);
        return Err(damaged(header, info, &what));
    };
    if experts as u64 > MOST_TENSORS {
        return Err(damaged(header, info, &format!("has {experts} experts")));
    }
    let start = location.bytes.start;
    let bytes = (location.bytes.end - start) / experts as u64;
    let expert = |expert: usize| {
        let start = start + expert as u64 * bytes;
        let location = Location {
            encoding: location.encoding,
            shape: vec![rows, columns],
            bytes: start..start + bytes,
        };
        (name(expert), location)
    };
    Ok((0..experts).map(expert).collect())
}

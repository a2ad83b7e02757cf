//! The values before a file's tensors, kept as the bytes they are. Knows no key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::Reader;
use crate::error::{Error, Result};

/// The metadata of a GGUF file by their keys.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// The most keys of a file.
const MOST_KEYS: u64 = 1 << 16;

/// Characters of a text that [`MetadataValue::brief`] tells.
const BRIEF: usize = 200;

const U8: u32 = 0;
const I8: u32 = 1;
const U16: u32 = 2;
const I16: u32 = 3;
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const I64: u32 = 11;
const F64: u32 = 12;

/// Bytes of an array's type and length.
const ARRAY_HEAD: usize = 12;
/// Bytes of a text's length.
const TEXT_HEAD: usize = 8;

/// A value of a GGUF file's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataValue {
    /// The number of its type in GGUF files.
    pub kind: u32,
    /// As in the file: a text behind its length, an array behind the type and number of its elements.
    bytes: Vec<u8>,
}

impl MetadataValue {
    /// A text.
    pub fn text(text: &str) -> Self {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        Self { kind: TEXT, bytes }
    }

    /// A count.
    pub fn count(count: u32) -> Self {
        let bytes = count.to_le_bytes().to_vec();
        Self { kind: U32, bytes }
    }

    /// A number of 32 bits.
    pub fn number(number: f32) -> Self {
        let bytes = number.to_le_bytes().to_vec();
        Self { kind: F32, bytes }
    }

    /// True or false.
    pub fn flag(flag: bool) -> Self {
        let bytes = vec![flag.into()];
        Self { kind: BOOL, bytes }
    }

    /// An array of texts.
    pub fn list<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> Self {
        let mut bytes = array_head(TEXT, texts.len());
        for text in texts {
            bytes.extend(Self::text(text).bytes);
        }
        Self { kind: ARRAY, bytes }
    }

    /// An array of whole numbers.
    pub fn numbers(numbers: &[i32]) -> Self {
        let mut bytes = array_head(I32, numbers.len());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        Self { kind: ARRAY, bytes }
    }

    /// The bytes that follow the type in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A number that is whole and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        integer(self.kind, &self.bytes)
    }

    /// A number. Of 32 bits it is the one whose shortest decimal form is the same: 0.1 is 0.1.
    pub fn as_f64(&self) -> Option<f64> {
        match self.kind {
            F32 => {
                let number = f32::from_le_bytes(array(&self.bytes)?);
                number.to_string().parse().ok()
            }
            F64 => Some(f64::from_le_bytes(array(&self.bytes)?)),
            I8 | I16 | I32 | I64 => Some(signed(&self.bytes) as f64),
            _ => self.as_u64().map(|number| number as f64),
        }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        (self.kind == BOOL).then(|| self.bytes != [0])
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        let text = self.bytes.get(TEXT_HEAD..)?;
        (self.kind == TEXT).then(|| std::str::from_utf8(text).ok())?
    }

    /// The whole numbers of an array of such.
    pub fn integers(&self) -> Option<Vec<u64>> {
        let kind = self.element_kind()?;
        let width = width(kind)?;
        let elements = self.bytes[ARRAY_HEAD..].chunks_exact(width);
        elements.map(|element| integer(kind, element)).collect()
    }

    /// The texts of an array of such.
    pub fn texts(&self) -> Option<impl Iterator<Item = &str>> {
        let mut rest = self.bytes.get(ARRAY_HEAD..)?;
        let next = move || {
            let (length, texts) = rest.split_at_checked(TEXT_HEAD)?;
            let length = u64::from_le_bytes(array(length)?) as usize;
            let (text, others) = texts.split_at_checked(length)?;
            rest = others;
            std::str::from_utf8(text).ok()
        };
        (self.element_kind()? == TEXT).then(|| std::iter::from_fn(next))
    }

    /// What it is, for people: long texts are cut, arrays are counted.
    pub fn brief(&self) -> Value {
        if let Some(text) = self.as_str() {
            return match text.char_indices().nth(BRIEF) {
                Some((end, _)) => format!("{}…", &text[..end]).into(),
                None => text.into(),
            };
        }
        if let Some(kind) = self.element_kind() {
            let count = u64::from_le_bytes(array(&self.bytes[4..ARRAY_HEAD]).unwrap_or_default());
            let what = if kind == TEXT { "texts" } else { "numbers" };
            return format!("{count} {what}").into();
        }
        match (self.as_bool(), self.as_u64()) {
            (Some(flag), _) => flag.into(),
            (None, Some(number)) => number.into(),
            (None, None) => self.as_f64().into(),
        }
    }

    fn element_kind(&self) -> Option<u32> {
        let kind = self.bytes.get(..4)?;
        (self.kind == ARRAY).then(|| array(kind).map(u32::from_le_bytes))?
    }
}

fn array_head(kind: u32, count: usize) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &(count as u64).to_le_bytes()].concat()
}

/// Reads all keys and values.
pub(super) async fn read(reader: &mut Reader<'_>, count: u64) -> Result<Metadata> {
    if count > MOST_KEYS {
        let what = format!("has {count} keys of metadata; up to {MOST_KEYS} are supported");
        return Err(Error::unsupported(reader.path.as_str(), what));
    }
    let mut metadata = Metadata::new();
    for index in 0..count {
        let key = reader.name(&format!("metadata key {index}")).await?;
        let what = format!("metadata `{key}`");
        if metadata.contains_key(&key) {
            return Err(reader.damaged(&what, "appears twice"));
        }
        let value = read_value(reader, &what).await?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

async fn read_value(reader: &mut Reader<'_>, what: &str) -> Result<MetadataValue> {
    let kind = read_kind(reader, what).await?;
    let mut bytes = Vec::new();
    match width(kind) {
        Some(width) => bytes.extend(reader.take(width as u64, what).await?),
        None if kind == TEXT => read_text(reader, what, &mut bytes).await?,
        None => read_array(reader, what, &mut bytes).await?,
    }
    Ok(MetadataValue { kind, bytes })
}

async fn read_kind(reader: &mut Reader<'_>, what: &str) -> Result<u32> {
    let kind = reader.u32(what).await?;
    if width(kind).is_none() && kind != TEXT && kind != ARRAY {
        return Err(reader.damaged(what, &format!("has the unknown type {kind}")));
    }
    Ok(kind)
}

async fn read_text(reader: &mut Reader<'_>, what: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let text = reader.text(what).await?;
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

async fn read_array(reader: &mut Reader<'_>, what: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let kind = read_kind(reader, what).await?;
    if kind == ARRAY {
        return Err(reader.damaged(what, "is an array of arrays, which no file needs"));
    }
    let width = width(kind).unwrap_or(TEXT_HEAD) as u64;
    let count = reader.count(width, what).await?;
    bytes.extend(kind.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    if kind == TEXT {
        for _ in 0..count {
            read_text(reader, what, bytes).await?;
        }
    } else {
        bytes.extend(reader.take(count * width, what).await?);
    }
    Ok(())
}

/// Bytes of a number; `None` for other types.
fn width(kind: u32) -> Option<usize> {
    match kind {
        U8 | I8 | BOOL => Some(1),
        U16 | I16 => Some(2),
        U32 | I32 | F32 => Some(4),
        U64 | I64 | F64 => Some(8),
        _ => None,
    }
}

fn integer(kind: u32, bytes: &[u8]) -> Option<u64> {
    match kind {
        U8 | U16 | U32 | U64 => {
            let bytes = bytes.iter().rev();
            Some(bytes.fold(0, |number, &byte| number << 8 | u64::from(byte)))
        }
        I8 | I16 | I32 | I64 => signed(bytes).try_into().ok(),
        _ => None,
    }
}

/// The number in two's complement, of at most eight bytes.
fn signed(bytes: &[u8]) -> i64 {
    let sign = bytes.last().map_or(0, |&byte| byte.cast_signed() >> 7);
    let bytes = bytes.iter().rev();
    bytes.fold(sign.into(), |number, &byte| number << 8 | i64::from(byte))
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

//! Safetensors files that are no model, and how any is written: a few rows at a time.

use std::collections::BTreeMap;
use std::rc::Rc;

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::Source;
use super::safetensors::read_header;
use super::source::path;
use super::tensor::{Location, StoredTensor};
use crate::error::{Error, Result};

/// A safetensors file and the tensors in it.
pub struct TensorFile {
    source: Rc<dyn Source>,
    file: String,
    tensors: BTreeMap<String, Location>,
}

impl TensorFile {
    /// Reads the header of `file`.
    ///
    /// [`Error::NotFound`] when there is no such file, [`Error::Damaged`] for what is wrong in it.
    pub async fn open(source: Rc<dyn Source>, file: &str) -> Result<Self> {
        let Some(tensors) = read_header(&*source, file).await? else {
            let file = path(&*source, file);
            return Err(Error::NotFound(format!("{file}: no such file")));
        };
        Ok(Self {
            source,
            file: file.to_owned(),
            tensors,
        })
    }

    /// What messages call it.
    pub fn path(&self) -> String {
        path(&*self.source, &self.file)
    }

    /// The tensor called `name`, if there is one.
    pub fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let (name, location) = self.tensors.get_key_value(name)?;
        let Location {
            encoding,
            ref shape,
            ref bytes,
        } = *location;
        let bytes = bytes.clone();
        Some(StoredTensor::new(
            &*self.source,
            &self.file,
            name,
            encoding,
            shape,
            bytes,
        ))
    }
}

/// A tensor of a safetensors file that is to be written.
#[derive(Clone, Debug)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// The type of its numbers, of whole bytes.
    pub dtype: Dtype,
    /// Its dimensions, the last of which is contiguous.
    pub shape: Vec<usize>,
}

impl NewTensor {
    /// The bytes of its data.
    pub fn bytes(&self) -> u64 {
        let size = self.dtype.bitsize() as u64 / 8;
        self.shape.iter().map(|&dim| dim as u64).product::<u64>() * size
    }
}

/// What a safetensors file begins with: the data of `tensors` follows, in that order and without gaps.
pub fn safetensors_header(tensors: &[NewTensor]) -> Vec<u8> {
    let mut header = Map::new();
    let mut end = 0;
    for tensor in tensors {
        let begin = end;
        end += tensor.bytes();
        let entry = json!({
            "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [begin, end],
        });
        header.insert(tensor.name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    // The data should begin at a multiple of eight bytes.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.into_bytes());
    bytes
}

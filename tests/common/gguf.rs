//! GGUF files, built in memory. Needs no device: `#[path = "../common/gguf.rs"] mod gguf_file;`

#![allow(dead_code, reason = "each test file uses another part of this module")]

/// Numbers of types of metadata.
pub(crate) const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
pub(crate) const F32: u32 = 6;
pub(crate) const BOOL: u32 = 7;
pub(crate) const TEXT: u32 = 8;
pub(crate) const ARRAY: u32 = 9;
pub(crate) const U64: u32 = 10;

/// A file to write. Its tensors follow each other as closely as their alignment allows.
#[derive(Clone)]
pub(crate) struct Gguf {
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<Tensor>,
}

#[derive(Clone)]
struct Tensor {
    name: String,
    /// The fastest first.
    dims: Vec<u64>,
    kind: u32,
    bytes: Vec<u8>,
}

/// What a file says of a tensor.
pub(crate) struct Info {
    pub(crate) name: String,
    /// The fastest first.
    pub(crate) dims: Vec<u64>,
    pub(crate) kind: u32,
    /// Bytes of its data.
    pub(crate) size: usize,
}

impl Gguf {
    /// A file of an architecture, without tensors.
    pub(crate) fn new(architecture: &str) -> Self {
        Self::empty().text("general.architecture", architecture)
    }

    /// A file without anything.
    pub(crate) fn empty() -> Self {
        Self {
            version: 3,
            alignment: 32,
            keys: Vec::new(),
            key_count: 0,
            tensors: Vec::new(),
        }
    }

    /// Any metadata.
    pub(crate) fn key(mut self, name: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.extend(text_bytes(name));
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.key_count += 1;
        self
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.key(name, TEXT, &text_bytes(value))
    }

    pub(crate) fn u32(self, name: &str, value: u32) -> Self {
        self.key(name, U32, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, name: &str, value: f32) -> Self {
        self.key(name, F32, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, name: &str, value: bool) -> Self {
        self.key(name, BOOL, &[value.into()])
    }

    pub(crate) fn texts(self, name: &str, values: &[impl AsRef<str>]) -> Self {
        let elements = values.iter().flat_map(|value| text_bytes(value.as_ref()));
        self.key(name, ARRAY, &array_bytes(TEXT, values.len(), elements))
    }

    pub(crate) fn i32s(self, name: &str, values: &[i32]) -> Self {
        let elements = values.iter().flat_map(|value| value.to_le_bytes());
        self.key(name, ARRAY, &array_bytes(I32, values.len(), elements))
    }

    /// A tensor, whose shape is the other way round than the file has it.
    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], kind: u32, bytes: &[u8]) -> Self {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            dims: shape.iter().rev().copied().collect(),
            kind,
            bytes: bytes.to_vec(),
        });
        self
    }

    /// A tensor of f32.
    pub(crate) fn floats(self, name: &str, shape: &[u64], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(name, shape, 0, &bytes)
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let info = |tensor: &Tensor| Info {
            name: tensor.name.clone(),
            dims: tensor.dims.clone(),
            kind: tensor.kind,
            size: tensor.bytes.len(),
        };
        let infos: Vec<Info> = self.tensors.iter().map(info).collect();
        let mut file = self.head_of(&infos);
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
            file.extend(&tensor.bytes);
        }
        file
    }

    /// All that stands before the data of tensors that follow each other.
    pub(crate) fn head_of(&self, infos: &[Info]) -> Vec<u8> {
        let mut head = self.head(infos.len() as u64, self.key_count);
        let mut offset = 0;
        for info in infos {
            head.extend(text_bytes(&info.name));
            head.extend((info.dims.len() as u32).to_le_bytes());
            head.extend(info.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            head.extend(info.kind.to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset += info.size.next_multiple_of(self.alignment);
        }
        head.resize(head.len().next_multiple_of(self.alignment), 0);
        head
    }

    /// The beginning of a file with any counts, and the metadata.
    pub(crate) fn head(&self, tensors: u64, keys: u64) -> Vec<u8> {
        let (tensors, keys) = (tensors.to_le_bytes(), keys.to_le_bytes());
        [
            b"GGUF",
            &self.version.to_le_bytes()[..],
            &tensors,
            &keys,
            &self.keys,
        ]
        .concat()
    }
}

/// A text as files have it.
pub(crate) fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// An array as files have it.
pub(crate) fn array_bytes(kind: u32, count: usize, elements: impl Iterator<Item = u8>) -> Vec<u8> {
    let head = [&kind.to_le_bytes()[..], &(count as u64).to_le_bytes()].concat();
    head.into_iter().chain(elements).collect()
}

//! Small checkpoints, built in memory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, ready};
use pollster::block_on;
use tiefsee::Result;
use tiefsee::checkpoint::gguf::is_model_file;
use tiefsee::checkpoint::{Checkpoint, Source};

/// Files in memory; reading beyond the end of one is a bug of the reader.
#[derive(Clone, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    /// A checkpoint with an empty config.json and `file` as its only weights.
    pub(crate) fn single(file: impl Into<Vec<u8>>) -> Self {
        Self::default()
            .with("config.json", "{}")
            .with("model.safetensors", file)
    }

    pub(crate) fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(name.to_owned(), content.into());
        self
    }

    /// A GGUF file.
    pub(crate) fn gguf(file: impl Into<Vec<u8>>) -> Self {
        Self::default().with("x.gguf", file)
    }

    pub(crate) fn open(self) -> Result<Checkpoint> {
        block_on(Checkpoint::open(Rc::new(self)))
    }
}

impl Source for Files {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn model_file(&self) -> Option<String> {
        self.0.keys().find(|file| is_model_file(file)).cloned()
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        ready(Ok(self.0.get(file).map(|content| content.len() as u64))).boxed_local()
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        let range = range.start as usize..range.end as usize;
        ready(Ok(self.0[file][range].to_vec())).boxed_local()
    }
}

/// A tensor to write: name, type, shape, bytes.
pub(crate) type Tensor<'a> = (&'a str, &'a str, &'a [usize], Vec<u8>);

/// A safetensors file of `tensors`, in this order.
pub(crate) fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let (begin, end) = (data.len(), data.len() + bytes.len());
        write!(
            header,
            r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
        )
        .unwrap();
        data.extend(bytes);
    }
    container(&(header + "}"), &data)
}

/// A safetensors file with any header.
pub(crate) fn container(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// Little-endian bytes of `values`.
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The failure of what must fail.
#[track_caller]
pub(crate) fn failure<T>(result: Result<T>) -> tiefsee::Error {
    result.err().expect("a failure")
}

/// Checks that `result` is a failure with this exit status, and that its message has
/// each of `words`.
#[track_caller]
pub(crate) fn assert_fails<T>(result: Result<T>, exit_code: u8, words: &[&str]) {
    let error = failure(result);
    let message = error.to_string();
    assert_eq!(error.exit_code(), exit_code, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

//! What stands before a GGUF file's data, as bytes.

use super::metadata::{Metadata, MetadataValue};
use crate::formats::Format;

const VERSION: u32 = 3;

/// Bytes that tensors begin at multiples of: what is meant where a file does not say.
pub(in crate::checkpoint) const ALIGNMENT: u64 = 32;

/// A tensor of a file that is to be written.
pub(in crate::checkpoint) struct NewInfo<'t> {
    pub(in crate::checkpoint) name: &'t str,
    /// The last is contiguous.
    pub(in crate::checkpoint) shape: &'t [usize],
    pub(in crate::checkpoint) format: &'static Format,
    pub(in crate::checkpoint) bytes: u64,
}

/// The bytes before the data of `tensors`, which follow in that order, each filled up to the alignment.
pub(in crate::checkpoint) fn header(metadata: &Metadata, tensors: &[NewInfo]) -> Vec<u8> {
    let mut header = b"GGUF".to_vec();
    header.extend(VERSION.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_text(&mut header, key);
        header.extend(value.kind.to_le_bytes());
        header.extend(value.bytes());
    }
    let mut offset = 0;
    for tensor in tensors {
        put_text(&mut header, tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dim in tensor.shape.iter().rev() {
            header.extend((dim as u64).to_le_bytes());
        }
        let ggml = tensor.format.ggml.as_ref();
        header.extend(ggml.map_or(0, |ggml| ggml.id).to_le_bytes());
        header.extend(u64::to_le_bytes(offset));
        offset += tensor.bytes.next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    header
}

fn put_text(header: &mut Vec<u8>, text: &str) {
    header.extend(MetadataValue::text(text).bytes());
}

//! The weights as they are.

use super::Format;
use super::block::plain;

/// Single precision: exact for every checkpoint type but F64.
pub static F32: Format = Format {
    name: "f32",
    wgsl: crate::wgsl!("formats/f32"),
    block: 8,
    planes: &[32],
    pack,
    unpack,
    stored: Some(safetensors::Dtype::F32),
    ggml: Some(plain(0, 4)),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    vec![bytemuck::cast_slice(values).to_vec()]
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weight = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    planes[0].chunks_exact(4).map(weight).collect()
}

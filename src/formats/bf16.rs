//! The upper half of single precision.

use half::bf16;

use super::Format;
use super::block::plain;

/// Brain floating point: the range of f32 with 8 significant bits.
pub static BF16: Format = Format {
    name: "bf16",
    wgsl: crate::wgsl!("formats/bf16"),
    block: 8,
    planes: &[16],
    pack,
    unpack,
    stored: Some(safetensors::Dtype::BF16),
    ggml: Some(plain(30, 2)),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    // Rounding would carry the largest f32 on to infinity.
    let (least, most) = (bf16::MIN.to_f32(), bf16::MAX.to_f32());
    let weight = |value: &f32| bf16::from_f32(value.clamp(least, most));
    let weights: Vec<bf16> = values.iter().map(weight).collect();
    vec![bytemuck::cast_slice(&weights).to_vec()]
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weight = |bytes: &[u8]| {
        let upper = u16::from_le_bytes([bytes[0], bytes[1]]);
        f32::from_bits(u32::from(upper) << 16)
    };
    planes[0].chunks_exact(2).map(weight).collect()
}

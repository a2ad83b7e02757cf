//! IEEE half precision.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::Format;
use super::block::plain;

/// Half precision: 11 significant bits, magnitudes up to 65,504.
pub static F16: Format = Format {
    name: "f16",
    wgsl: crate::wgsl!("formats/f16"),
    block: 8,
    planes: &[16],
    pack,
    unpack,
    stored: Some(safetensors::Dtype::F16),
    ggml: Some(plain(1, 2)),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    // A weight beyond the range is better served by its end than by infinity.
    let (least, most) = (f16::MIN.to_f32(), f16::MAX.to_f32());
    let values: Vec<f32> = values
        .iter()
        .map(|value| value.clamp(least, most))
        .collect();
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(&values);
    vec![bytemuck::cast_slice(&halves).to_vec()]
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weight = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]);
    let halves: Vec<f16> = planes[0].chunks_exact(2).map(weight).collect();
    halves.to_f32_vec()
}

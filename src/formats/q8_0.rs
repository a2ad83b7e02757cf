//! Blocks of 32 signed bytes that share one scale.

use half::f16;

use super::block::{largest, split_blocks, to_scale, to_scales, whole_number};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// The least scale that is used. Below it f16 is so coarse that rounding a scale moves
/// 127 steps of it by half a step or more, and packing again would give other bytes.
const LEAST_SCALE: f32 = 1.0 / 131_072.0;

/// 8.5 bits a weight: a block is within half a 127th of its largest magnitude.
pub static Q8_0: Format = Format {
    name: "q8_0",
    wgsl: include_str!("../../shaders/formats/q8_0.wgsl"),
    block: BLOCK,
    planes: &[BLOCK, size_of::<f16>()],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 8,
        weights: BLOCK,
        bytes: 34,
        halves: &[0],
        to_planes: |blocks| split_blocks(blocks, 2, 34).to_vec(),
        to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    assert_eq!(
        values.len() % BLOCK,
        0,
        "{} weights are not whole blocks",
        values.len()
    );
    let mut bytes = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / BLOCK * size_of::<f16>());
    for block in values.chunks_exact(BLOCK) {
        let scale = to_scale((largest(block).abs() / 127.0).max(LEAST_SCALE));
        let inverse = scale.to_f32().recip();
        let byte = |value: &f32| whole_number((value * inverse).clamp(-127.0, 127.0));
        bytes.extend(block.iter().map(byte));
        scales.extend(scale.to_le_bytes());
    }
    vec![bytes, scales]
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let blocks = planes[0].chunks_exact(BLOCK).zip(to_scales(planes[1]));
    let weights = |(block, scale): (&[u8], f32)| -> [f32; BLOCK] {
        std::array::from_fn(|i| f32::from(block[i].cast_signed()) * scale)
    };
    blocks.flat_map(weights).collect()
}

fn to_blocks(planes: &[&[u8]]) -> Vec<u8> {
    let blocks = planes[0].chunks_exact(BLOCK).zip(planes[1].chunks_exact(2));
    blocks
        .flat_map(|(numbers, scale)| [scale, numbers].concat())
        .collect()
}

//! Blocks of 32 signed bytes that share one scale.

use half::f16;

use super::block::{
    blocks_from, blocks_of, half_at, largest, parts, planes_of, to_scale, whole_number,
};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// The least scale that is used. Below it f16 is so coarse that rounding a scale moves
/// 127 steps of it by half a step or more, and packing again would give other bytes.
const LEAST_SCALE: f32 = 1.0 / 131_072.0;

/// 8.5 bits a weight: a block is within half a 127th of its largest magnitude.
pub static Q8_0: Format = Format {
    name: "q8_0",
    wgsl: crate::wgsl!("formats/q8_0"),
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
        exponents: &[],
        to_planes: |blocks| {
            planes_of(blocks.chunks_exact(34), |block, [numbers, scales]| {
                scales.extend(&block[..2]);
                numbers.extend(&block[2..]);
            })
        },
        to_blocks: |planes| {
            blocks_from(planes, &Q8_0, |[numbers, scale], blocks| {
                blocks.extend(scale);
                blocks.extend(numbers);
            })
        },
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, scales]| {
        let scale = to_scale((largest(&block).abs() / 127.0).max(LEAST_SCALE));
        let inverse = scale.to_f32().recip();
        numbers.extend(block.map(|value| whole_number((value * inverse).clamp(-127.0, 127.0))));
        scales.extend(scale.to_le_bytes());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[numbers, scale]: [&[u8]; 2]| -> [f32; BLOCK] {
        let scale = half_at(scale);
        std::array::from_fn(|i| f32::from(numbers[i].cast_signed()) * scale)
    };
    parts(planes, &Q8_0).flat_map(weights).collect()
}

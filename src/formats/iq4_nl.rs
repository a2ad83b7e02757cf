//! Blocks of 32 numbers of 4 bits for values of a table, which share one scale.

use super::block::{blocks_of, half_at, joined, numbers, parts, planes_of};
use super::q4_0::{nibbles_to_blocks, nibbles_to_planes};
use super::search::{Levels, nearest_of, with_scale};
use super::{Format, Ggml};

const BLOCK: usize = 32;

/// 4.5 bits a weight: denser around 0, as weights are.
pub static IQ4_NL: Format = Format {
    name: "iq4_nl",
    wgsl: crate::wgsl!("formats/iq4_nl"),
    block: BLOCK,
    planes: &[BLOCK / 2, 2],
    pack,
    unpack,
    stored: None,
    ggml: Some(Ggml {
        id: 20,
        weights: BLOCK,
        bytes: 18,
        halves: &[0],
        exponents: &[],
        to_planes: nibbles_to_planes,
        to_blocks: nibbles_to_blocks,
    }),
};

fn pack(values: &[f32]) -> Vec<Vec<u8>> {
    planes_of(blocks_of::<BLOCK>(values), |block, [numbers, scales]| {
        let (scale, levels) = with_scale::<Table, BLOCK>(&block);
        numbers.extend(joined::<4, BLOCK>(levels.map(Table::number)));
        scales.extend(scale.to_le_bytes());
    })
}

fn unpack(planes: &[&[u8]]) -> Vec<f32> {
    let weights = |[bytes, scale]: [&[u8]; 2]| {
        let scale = half_at(scale);
        numbers::<4, BLOCK>(bytes).map(|number| Table::level(number) * scale)
    };
    parts(planes, &IQ4_NL).flat_map(weights).collect()
}

/// The levels of both types with this table.
pub(super) struct Table;

/// Values, ascending.
const TABLE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

impl Table {
    /// The value of a number.
    pub(super) fn level(number: u8) -> f32 {
        TABLE[usize::from(number)].into()
    }

    /// The number of a value.
    pub(super) fn number(level: f32) -> u8 {
        TABLE.partition_point(|&value| f32::from(value) < level) as u8
    }
}

impl Levels for Table {
    const ENDS: [f32; 2] = [TABLE[0] as f32, TABLE[15] as f32];
    const STEP: f32 = 16.0;

    fn nearest<const N: usize>(values: &[f32; N]) -> [f32; N] {
        nearest_of(&TABLE, values)
    }
}

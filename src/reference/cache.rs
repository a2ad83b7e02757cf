//! What a cache makes of a row: its words in memory, and the numbers that they stand for.

use half::f16;

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    /// Words of 32 bits.
    pub words: Vec<u32>,
    /// What they stand for.
    pub values: Vec<f32>,
}

/// Columns that share a scale.
const BLOCK: usize = 32;

/// A row in the type called `name`; its length is a multiple of 4.
///
/// # Panics
/// For any other name than `f32`, `f16` and `q8_0`.
pub fn stored_row(name: &str, row: &[f32]) -> StoredRow {
    assert_eq!(row.len() % 4, 0);
    match name {
        "f32" => StoredRow {
            words: row.iter().map(|value| value.to_bits()).collect(),
            values: row.to_vec(),
        },
        "f16" => halves(row),
        "q8_0" => blocks(row),
        other => panic!("no cache type is called {other}"),
    }
}

/// The nearest f16, two to a word; what is too large becomes the largest.
fn halves(row: &[f32]) -> StoredRow {
    let most = f16::MAX.to_f32();
    let half = |value: &f32| f16::from_f32(value.clamp(-most, most));
    let halves: Vec<_> = row.iter().map(half).collect();
    let word = |pair: &[f16]| u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
    StoredRow {
        words: halves.chunks(2).map(word).collect(),
        values: halves.iter().map(|half| half.to_f32()).collect(),
    }
}

/// A scale, then the bytes of 32 columns, four to a word; zeros behind the last.
fn blocks(row: &[f32]) -> StoredRow {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for block in row.chunks(BLOCK) {
        let largest = block
            .iter()
            .fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let scale = largest * (1.0 / 127.0);
        let inverse = if largest > 1e-30 {
            127.0 / largest
        } else {
            0.0
        };
        let mut steps = [0i8; BLOCK];
        for (step, value) in steps.iter_mut().zip(block) {
            *step = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        words.push(scale.to_bits());
        words.extend(
            steps.chunks(4).map(|four| {
                u32::from_le_bytes([0, 1, 2, 3].map(|byte| four[byte].cast_unsigned()))
            }),
        );
        values.extend(
            steps[..block.len()]
                .iter()
                .map(|&step| f32::from(step) * scale),
        );
    }
    StoredRow { words, values }
}

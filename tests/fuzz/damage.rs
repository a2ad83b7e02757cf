//! Random damage, the same in every run.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Numbers at which readers go wrong, as text.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "2",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "0.1",
];

/// The same for little-endian integers.
const INTEGERS: [u64; 12] = [
    0,
    1,
    2,
    3,
    31,
    255,
    1 << 16,
    1 << 31,
    u32::MAX as u64,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

/// The most bytes that are copied or removed at once.
const LONGEST_PART: usize = 64;

/// Damages good files.
pub(crate) struct Damage {
    random: Pcg64,
    words: &'static [&'static str],
}

impl Damage {
    pub(crate) fn new(words: &'static [&'static str]) -> Self {
        Self {
            random: Pcg64::seed_from_u64(1),
            words,
        }
    }

    /// One of `seeds`, damaged in one to eight places.
    pub(crate) fn apply(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.once(&mut bytes, seeds);
        }
        bytes
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end.max(1) as u64) as usize
    }

    /// A random part of `bytes`.
    fn part(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len());
        let length = 1 + self.below(LONGEST_PART);
        start..bytes.len().min(start + length)
    }

    fn once(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = self.below(bytes.len());
        match self.below(11) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.random.next_u32() as u8,
            2 => bytes.truncate(at),
            3 => {
                let part = self.part(bytes);
                bytes.drain(part);
            }
            4 => {
                let part = self.part(bytes);
                let copy = bytes[part].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let part = self.part(other);
                bytes.splice(at..at, other[part].to_vec());
            }
            6 | 7 => {
                let value = INTEGERS[self.below(INTEGERS.len())].to_le_bytes();
                let size = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + size].copy_from_slice(&value[..size]);
            }
            8 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                replace_number(bytes, at, number.as_bytes());
            }
            9 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                bytes.splice(at..at, word.bytes());
            }
            _ => {
                let open = [b'[', b'{', b'(', b'"'][self.below(4)];
                let count = 1 + self.below(300);
                bytes.splice(at..at, std::iter::repeat_n(open, count));
            }
        }
    }
}

/// Writes `number` over the first run of digits behind `at`.
fn replace_number(bytes: &mut Vec<u8>, at: usize, number: &[u8]) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit) else {
        return;
    };
    let start = at + start;
    let length = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    bytes.splice(start..start + length, number.iter().copied());
}

//! Stored numbers as f32, and those among them that no weight may be. Knows no files.

use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::Dtype;

use crate::formats::Format;

/// Bytes that are looked at together: a whole number of every type's.
const BLOCK: usize = 4096;

pub(super) type Decode = fn(&[u8]) -> Vec<f32>;

/// How numbers of type `dtype` become f32; `None` unless they are floats of 16 bits or
/// more, or powers of two.
pub(super) fn to_f32(dtype: Dtype) -> Option<Decode> {
    match dtype {
        Dtype::F64 => Some(|bytes| numbers(bytes, |number| f64::from_le_bytes(number) as f32)),
        Dtype::F32 => Some(|bytes| numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(|bytes| numbers(bytes, f16::from_le_bytes).to_f32_vec()),
        Dtype::BF16 => Some(|bytes| {
            numbers(bytes, |number| {
                f32::from_bits(u32::from(u16::from_le_bytes(number)) << 16)
            })
        }),
        // A power of two, all of whose bits are the exponent; the least is a subnormal f32.
        Dtype::F8_E8M0 => Some(|bytes| {
            numbers(bytes, |[exponent]| {
                f32::from_bits((u32::from(exponent) << 23).max(1 << 22))
            })
        }),
        _ => None,
    }
}

/// The index of the first number that is NaN or infinite as f32; `None`, too, for types
/// that are no floats.
pub(super) fn first_non_finite(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::F64 => first(bytes, |number| {
            !(f64::from_le_bytes(number) as f32).is_finite()
        }),
        Dtype::F32 => first(bytes, |number| {
            all_set(u32::from_le_bytes(number), 0x7f80_0000)
        }),
        Dtype::F16 => first(bytes, |number| {
            all_set(u16::from_le_bytes(number).into(), 0x7c00)
        }),
        Dtype::BF16 => first(bytes, |number| {
            all_set(u16::from_le_bytes(number).into(), 0x7f80)
        }),
        Dtype::F8_E4M3 => first(bytes, |[byte]| all_set(byte.into(), 0x7f)),
        Dtype::F8_E8M0 => first(bytes, |[byte]| byte == 0xff),
        _ => None,
    }
}

/// Above it a power of two times the largest E2M1, 6, is beyond f32.
const LARGEST_EXPONENT: u8 = 252;

/// The index of the first number of a block in which a scale is NaN or infinite.
pub(super) fn first_non_finite_block(format: &Format, bytes: &[u8]) -> Option<usize> {
    let ggml = format.ggml.as_ref()?;
    let is_bad = |block: &[u8]| {
        let half = |&at: &usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let mut halves = ggml.halves.iter().map(half);
        let mut exponents = ggml.exponents.iter().map(|&at| block[at]);
        halves.any(|half| all_set(half.into(), 0x7c00))
            || exponents.any(|exponent| exponent > LARGEST_EXPONENT)
    };
    let block = bytes.chunks_exact(ggml.bytes).position(is_bad)?;
    Some(block * ggml.weights)
}

fn all_set(bits: u32, exponent: u32) -> bool {
    bits & exponent == exponent
}

fn numbers<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .chunks_exact(N)
        .map(|number| decode(array(number)))
        .collect()
}

/// The index of the first number of `N` bytes that `is_bad`.
fn first<const N: usize>(bytes: &[u8], is_bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
    let is_bad = |number: &[u8]| is_bad(array(number));
    // A search stops at each number; whether a block has any is asked of many at once.
    let has_bad = |block: &[u8]| block.chunks_exact(N).fold(false, |any, n| any | is_bad(n));
    let block = bytes.chunks(BLOCK).position(has_bad)?;
    let start = block * (BLOCK / N);
    bytes
        .chunks_exact(N)
        .skip(start)
        .position(is_bad)
        .map(|index| start + index)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

//! How weights are stored on the GPU: pure data, no device.
//!
//! A format is a value. Its WGSL defines `weight8`, the whole contract with the
//! kernels: eight neighbouring weights of a row. Adding one costs a WGSL file, a
//! Rust file and a line in the list below.

mod block;
mod k_blocks;
mod search;
mod wgsl;

macro_rules! formats {
    ($($file:ident: $($format:ident),+;)*) => {
        $(mod $file;)*
        $(pub use $file::{$($format),+};)*

        /// Every format.
        pub static ALL: &[&Format] = &[$($(&$format),+),*];
    };
}

formats! {
    f32: F32;
    f16: F16;
    bf16: BF16;
    f8_e4m3: F8_E4M3, F8_E4M3_32;
    q8_0: Q8_0;
    q4_0: Q4_0;
    q4_1: Q4_1;
    q5_0: Q5_0;
    q5_1: Q5_1;
    q2_k: Q2_K;
    q3_k: Q3_K;
    q4_k: Q4_K;
    q5_k: Q5_K;
    q6_k: Q6_K;
    iq4_nl: IQ4_NL;
    iq4_xs: IQ4_XS;
    mxfp4: MXFP4;
}

pub use f8_e4m3::{from_e4m3, to_e4m3};
#[doc(hidden)]
pub use wgsl::{lean, lean_length};

/// How the weights of a matrix lie in GPU memory.
#[derive(Debug)]
pub struct Format {
    /// The field's name, as `--quantize` takes it.
    pub name: &'static str,
    /// Defines `weight8` and the bindings of group 1 from binding 1 on, one per plane.
    pub wgsl: &'static str,
    /// Neighbouring weights of a row that are packed together, a multiple of 8.
    /// Rows are padded with zeros to whole blocks.
    pub block: usize,
    /// The buffers that hold a matrix: bytes of a block in each. Blocks follow each
    /// other in row-major order without gaps; only a buffer's end may need padding to
    /// whole words.
    pub planes: &'static [usize],
    /// Whole blocks to planes: `values: [blocks * block]` → one byte string per plane.
    pub pack: fn(values: &[f32]) -> Vec<Vec<u8>>,
    /// The reference for `weight8`: planes to values.
    pub unpack: fn(planes: &[&[u8]]) -> Vec<f32>,
    /// How safetensors files store it: a number's type.
    pub stored: Option<safetensors::Dtype>,
    /// How GGUF files store it: blocks.
    pub ggml: Option<Ggml>,
}

/// How a format's blocks lie in a GGUF file, where they follow each other in row-major order.
///
/// The planes hold the same numbers in another order, so both ways lose nothing.
#[derive(Debug)]
pub struct Ggml {
    /// The type's number in the file.
    pub id: u32,
    /// Weights of a block, which divide [`Format::block`]: the two differ for plain numbers.
    pub weights: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Where in a block's bytes there are scales of half precision, which must be finite.
    pub halves: &'static [usize],
    /// Where there are scales that are only an exponent, which must not make numbers infinite.
    pub exponents: &'static [usize],
    /// Blocks as they lie in the file to planes.
    pub to_planes: fn(blocks: &[u8]) -> Vec<Vec<u8>>,
    /// Planes to blocks as they lie in the file.
    pub to_blocks: fn(planes: &[&[u8]]) -> Vec<u8>,
}

impl Format {
    /// The format called `name`, in capitals or not.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let is_named = |format: &&&Self| format.name.eq_ignore_ascii_case(name);
        ALL.iter().find(is_named).copied()
    }

    /// The format whose number in GGUF files is `id`.
    #[must_use]
    pub fn of_ggml(id: u32) -> Option<&'static Self> {
        let has_id = |format: &&&Self| format.ggml.as_ref().is_some_and(|ggml| ggml.id == id);
        ALL.iter().find(has_id).copied()
    }

    /// The format that safetensors files call `dtype`.
    #[must_use]
    pub fn of_dtype(dtype: safetensors::Dtype) -> Option<&'static Self> {
        ALL.iter()
            .find(|format| format.stored == Some(dtype))
            .copied()
    }

    /// `width` rounded up to whole blocks, and to whole 32-bit words in every plane, so that
    /// any row can be uploaded alone.
    #[must_use]
    pub fn padded(&self, width: usize) -> usize {
        let least = width.div_ceil(self.block);
        // Four of anything are whole words.
        let blocks = (least..least.next_multiple_of(4)).find(|blocks| {
            let mut bytes = self.planes.iter().map(|bytes| blocks * bytes);
            bytes.all(|bytes| bytes.is_multiple_of(4))
        });
        let blocks = blocks.unwrap_or_else(|| least.next_multiple_of(4));
        blocks * self.block
    }

    /// Bytes of a row of `width` weights, over all planes.
    #[must_use]
    pub fn row_bytes(&self, width: usize) -> usize {
        self.padded(width) / self.block * self.planes.iter().sum::<usize>()
    }
}

/// Rows of `width` values with zeros, which are zeros in every format, up to `wide` values.
#[must_use]
pub fn padded_rows<T: Copy + Default>(rows: &[T], width: usize, wide: usize) -> Vec<T> {
    let mut padded = Vec::with_capacity(rows.len() / width * wide);
    for row in rows.chunks_exact(width) {
        padded.extend_from_slice(row);
        padded.resize(padded.len() + wide - width, T::default());
    }
    padded
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

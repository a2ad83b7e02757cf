//! How weights are stored on the GPU: pure data, no device.
//!
//! A format is a value. Its WGSL defines `weight8`, the whole contract with the
//! kernels: eight neighbouring weights of a row. Adding one costs a WGSL file, a
//! Rust file and a line in [`ALL`].

mod bf16;
mod block;
mod f16;
mod f32;
mod q4_0;
mod q8_0;

pub use bf16::BF16;
pub use f16::F16;
pub use f32::F32;
pub use q4_0::Q4_0;
pub use q8_0::Q8_0;

/// Every format, in order of falling size.
pub static ALL: [&Format; 5] = [&F32, &F16, &BF16, &Q8_0, &Q4_0];

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
    /// The checkpoint type whose bytes are this format's only plane as they are.
    pub stored: Option<safetensors::Dtype>,
}

impl Format {
    /// The format called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|format| format.name == name)
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

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

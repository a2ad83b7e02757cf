//! How the rows of a cache lie in GPU memory.
//!
//! A type's WGSL defines `cache4`, the whole contract with the kernels that read: four
//! neighbouring columns of a row. `cache_packed` is that of `pack_rows`, which writes.

use super::{Gpu, Tensor};
use crate::error::Result;

macro_rules! types {
    ($($(#[$about:meta])* $name:ident = $file:literal, $columns:literal columns in $words:literal words;)*) => {
        $($(#[$about])*
        pub static $name: CacheType = CacheType {
            name: $file,
            wgsl: $crate::wgsl!("cache/", $file),
            columns: $columns,
            words: $words,
        };)*

        /// Every type.
        pub static ALL: &[&CacheType] = &[$(&$name),*];
    };
}

types! {
    /// As activations are.
    F32 = "f32", 1 columns in 1 words;
    /// Half the bytes.
    F16 = "f16", 4 columns in 2 words;
    /// Blocks of 32 signed bytes, each with a scale: 9 bits a column.
    Q8_0 = "q8_0", 32 columns in 9 words;
}

/// How the numbers of a row are stored.
#[derive(Debug)]
pub struct CacheType {
    /// Its name, as `--cache-type` takes it.
    pub name: &'static str,
    /// Defines `cache4` and what goes with it.
    pub wgsl: &'static str,
    /// Columns that are packed together.
    columns: usize,
    /// What they take, in words of 32 bits.
    words: usize,
}

impl CacheType {
    /// The type called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.name == name).copied()
    }

    /// Words of 32 bits of a row of `width` columns.
    #[must_use]
    pub fn row_words(&self, width: usize) -> usize {
        width.div_ceil(self.columns) * self.words
    }

    /// Bytes of a row of `width` columns.
    #[must_use]
    pub fn row_bytes(&self, width: usize) -> usize {
        4 * self.row_words(width)
    }
}

impl PartialEq for CacheType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CacheType {}

impl Default for &CacheType {
    fn default() -> Self {
        &F32
    }
}

/// Rows of numbers in some type.
#[derive(Clone, Debug)]
pub struct Cache {
    /// What they are stored as.
    pub rows: Tensor, // [slots, words]
    /// Columns of a row.
    pub width: usize,
    /// How they are stored.
    pub kind: &'static CacheType,
}

impl Cache {
    /// Room for `slots` rows.
    ///
    /// # Errors
    /// As [`Tensor::reserve`].
    pub async fn reserve(
        gpu: &Gpu,
        kind: &'static CacheType,
        slots: usize,
        width: usize,
    ) -> Result<Self> {
        let rows = Tensor::reserve(gpu, &[slots, kind.row_words(width)]).await?;
        Ok(Self { rows, width, kind })
    }

    /// Rows of f32 that are there already: `[slots, width]`.
    pub fn plain(rows: Tensor) -> Self {
        let [_, width] = rows.dims();
        Self {
            rows,
            width,
            kind: &F32,
        }
    }

    /// Whether kernels write numbers into it as they are.
    pub fn is_plain(&self) -> bool {
        *self.kind == F32
    }
}

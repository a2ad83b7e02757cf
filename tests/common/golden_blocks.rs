//! Blocks of GGUF files and what they decode to, as kept in `tests/golden`.

use std::path::Path;

use safetensors::SafeTensors;
use tiefsee::formats::{self, Format, Ggml};

/// Random blocks of one type.
pub(crate) struct GoldenBlocks {
    /// The type.
    pub(crate) format: &'static Format,
    /// The blocks as a file has them.
    pub(crate) blocks: Vec<u8>,
    /// What the Python package `gguf` makes of them.
    pub(crate) values: Vec<f32>,
}

impl GoldenBlocks {
    /// The blocks of every type with blocks.
    pub(crate) fn all() -> Vec<Self> {
        let bytes = read("gguf_blocks.safetensors");
        let file = SafeTensors::deserialize(&bytes).expect("golden blocks");
        let of = |format: &'static Format| {
            let tensor = |part: &str| {
                let name = format!("{}.{part}", format.name.to_uppercase());
                file.tensor(&name).expect(&name).data().to_vec()
            };
            Self {
                format,
                blocks: tensor("blocks"),
                values: bytemuck::pod_collect_to_vec(&tensor("values")),
            }
        };
        let has_blocks =
            |format: &&&Format| format.ggml.as_ref().is_some_and(|ggml| ggml.weights > 1);
        formats::ALL
            .iter()
            .filter(has_blocks)
            .map(|&format| of(format))
            .collect()
    }

    /// How files hold the type.
    pub(crate) fn ggml(&self) -> &'static Ggml {
        self.format.ggml.as_ref().expect("a type of GGUF files")
    }

    /// The blocks as planes.
    pub(crate) fn planes(&self) -> Vec<Vec<u8>> {
        (self.ggml().to_planes)(&self.blocks)
    }
}

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

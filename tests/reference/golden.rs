//! What Hugging Face transformers computed, as kept in `tests/golden`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::tensors::read_tensors;

/// The folders that hold a checkpoint and its golden values.
pub const FAMILIES: [&str; 5] = ["dsv3", "dsv2", "dsv2lite", "odd", "wide"];

/// The golden values of one family.
pub struct Golden {
    /// The folder, which is also a checkpoint in Hugging Face layout.
    pub folder: PathBuf,
    tensors: HashMap<String, Vec<f64>>,
}

impl Golden {
    /// Reads `tests/golden/<family>`.
    pub fn open(family: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(family);
        let tensors = read_tensors(&folder.join("golden.safetensors"));
        Self { folder, tensors }
    }

    /// Reads `<name>.golden.safetensors` beside `<name>.gguf`.
    pub fn beside(gguf: &Path) -> Self {
        let tensors = read_tensors(&gguf.with_extension("golden.safetensors"));
        Self {
            folder: gguf.to_owned(),
            tensors,
        }
    }

    /// The prompt.
    pub fn tokens(&self) -> Vec<u32> {
        self.ids("input_ids")
    }

    /// The prompt and its greedy continuation.
    pub fn greedy(&self) -> Vec<u32> {
        self.ids("greedy")
    }

    /// Floats by name, flat.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.tensor(name)
            .iter()
            .map(|&value| value as f32)
            .collect()
    }

    /// The experts of each token in ascending order, for the `MoE` layer `layer` (counted without dense ones).
    pub fn routes(&self, layer: usize) -> Vec<Vec<usize>> {
        let experts: Vec<usize> = self
            .tensor(&format!("route.{layer}.idx"))
            .iter()
            .map(|&id| id as usize)
            .collect();
        experts
            .chunks(experts.len() / self.tokens().len())
            .map(<[usize]>::to_vec)
            .collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.tensor(name).iter().map(|&id| id as u32).collect()
    }

    fn tensor(&self, name: &str) -> &[f64] {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("{}: no {name}", self.folder.display()))
    }
}

//! Safetensors files as named lists of f64.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Every tensor of a checkpoint folder, sharded or not.
pub fn read_checkpoint(folder: &Path) -> HashMap<String, Vec<f64>> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return read_tensors(&folder.join("model.safetensors"));
    }
    let index: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(index).unwrap()).unwrap();
    let shards = index["weight_map"]
        .as_object()
        .unwrap()
        .values()
        .map(|file| file.as_str().unwrap());
    let mut shards: Vec<&str> = shards.collect();
    shards.sort_unstable();
    shards.dedup();
    shards
        .into_iter()
        .flat_map(|shard| read_tensors(&folder.join(shard)))
        .collect()
}

/// Every tensor of one file, flat and row-major.
pub fn read_tensors(path: &Path) -> HashMap<String, Vec<f64>> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, values(&view)))
        .collect()
}

fn values(view: &TensorView) -> Vec<f64> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => elements(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::BF16 => elements(data, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        Dtype::F16 => elements(data, |bytes| f16::from_le_bytes(bytes).to_f64()),
        Dtype::I32 => elements(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        other => panic!("the reference does not read {other:?}"),
    }
}

fn elements<const SIZE: usize>(data: &[u8], decode: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
    data.chunks_exact(SIZE)
        .map(|bytes| decode(bytes.try_into().unwrap()))
        .collect()
}

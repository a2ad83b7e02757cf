//! Weights for a folder that has only a config.json: noise, the same on every machine.
//!
//! Made when they are read, so that a model of any size needs no file and no memory.

use std::fmt::Write;
use std::ops::Range;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tiefsee::checkpoint::{Fields, Source};
use tiefsee::llm::open_source;
use tiefsee::{Error, Result};

use super::random_shapes::shapes;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// Bytes of a bf16.
const VALUE: u64 = 2;

struct Tensor {
    /// Where it starts in the data.
    start: u64,
    /// Spread of its values around 0; none for gains and biases, which are all alike.
    scale: Option<f32>,
    /// What all values are where there is no spread.
    constant: f32,
}

/// A folder whose weights are noise.
pub(super) struct RandomWeights {
    folder: Rc<dyn Source>,
    header: Vec<u8>,
    tensors: Vec<Tensor>,
    bytes: u64,
}

impl RandomWeights {
    /// Weights of the sizes in `model`'s config.json.
    ///
    /// # Errors
    /// Those of reading config.json.
    pub(super) async fn open(model: &str) -> Result<Self> {
        let folder = open_source(model)?;
        let missing = || Error::NotFound(format!("{model}: {CONFIG} is missing"));
        let size = folder.size(CONFIG).await?.ok_or_else(missing)?;
        let file = format!("{model}/{CONFIG}");
        let broken = |error: serde_json::Error| Error::Damaged {
            file: file.clone(),
            what: error.to_string(),
        };
        let config: serde_json::Value =
            serde_json::from_slice(&folder.read(CONFIG, 0..size).await?).map_err(broken)?;
        let shapes = shapes(&Fields::new(file.clone(), &config)?)?;

        let (mut tensors, mut entries, mut start) = (Vec::new(), String::new(), 0);
        for (name, shape) in shapes {
            let end = start + VALUE * shape.iter().product::<usize>() as u64;
            let comma = if entries.is_empty() { "" } else { "," };
            _ = write!(
                entries,
                r#"{comma}"{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
            );
            let scale = (shape.len() > 1).then(|| (shape[shape.len() - 1] as f32).powf(-0.5));
            tensors.push(Tensor {
                start,
                scale,
                constant: f32::from(!name.ends_with("bias")),
            });
            start = end;
        }
        let entries = format!("{{{entries}}}");
        let header = [&(entries.len() as u64).to_le_bytes(), entries.as_bytes()].concat();
        Ok(Self {
            folder,
            header,
            tensors,
            bytes: start,
        })
    }

    fn read_weights(&self, range: Range<u64>) -> Vec<u8> {
        let header = self.header.len() as u64;
        let end = range.end.min(header) as usize;
        let mut bytes = self.header[end.min(range.start as usize)..end].to_vec();
        let data = range.start.max(header) - header..range.end.max(header) - header;
        let mut index = self
            .tensors
            .partition_point(|tensor| tensor.start <= data.start)
            .max(1)
            - 1;
        for value in data.start / VALUE..data.end.div_ceil(VALUE) {
            while self
                .tensors
                .get(index + 1)
                .is_some_and(|next| next.start <= value * VALUE)
            {
                index += 1;
            }
            let Tensor {
                scale, constant, ..
            } = self.tensors[index];
            let weight = scale.map_or(constant, |scale| scale * noise(value));
            let stored = half::bf16::from_f32(weight).to_le_bytes();
            let start = value * VALUE;
            bytes.extend(
                (start..start + VALUE)
                    .zip(stored)
                    .filter(|(at, _)| data.contains(at))
                    .map(|(_, byte)| byte),
            );
        }
        bytes
    }
}

/// A number in -1..1 that depends on `index` alone.
fn noise(index: u64) -> f32 {
    // SplitMix64.
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ bits >> 31) >> 40) as f32 / 8_388_608.0 - 1.0
}

impl Source for RandomWeights {
    fn name(&self) -> String {
        format!("{} (random weights)", self.folder.name())
    }

    fn size<'a>(&'a self, file: &'a str) -> LocalBoxFuture<'a, Result<Option<u64>>> {
        if file == WEIGHTS {
            return futures::future::ready(Ok(Some(self.header.len() as u64 + self.bytes)))
                .boxed_local();
        }
        self.folder.size(file)
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> LocalBoxFuture<'a, Result<Vec<u8>>> {
        if file == WEIGHTS {
            return futures::future::ready(Ok(self.read_weights(range))).boxed_local();
        }
        self.folder.read(file, range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_same_as_the_whole() {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/dsv3");
        let weights = pollster::block_on(RandomWeights::open(model)).unwrap();
        let end = weights.header.len() as u64 + 3000;
        let whole = weights.read_weights(0..end);
        assert_eq!(whole.len() as u64, end);
        for cut in [
            1,
            weights.header.len() as u64 - 1,
            weights.header.len() as u64,
            end - 1001,
        ] {
            let parts = [weights.read_weights(0..cut), weights.read_weights(cut..end)];
            assert_eq!(parts.concat(), whole, "cut at {cut}");
        }
    }
}

//! A checkpoint's tensors as a GGUF file has them.

use std::collections::BTreeMap;

use super::recipe::{Outline, Recipe, layer_of};
use super::{Conversion, Converted, Order, Part, converted, llama_rows, weights};
use crate::checkpoint::gguf::{self, ALIGNMENT, DIVISORS, gguf_architecture, gguf_name};
use crate::checkpoint::{Checkpoint, StoredTensor};
use crate::error::{Error, Result};
use crate::formats;

/// See [`Conversion::to_gguf`].
pub(super) async fn convert<'c>(
    checkpoint: &'c Checkpoint,
    recipe: &Recipe,
    name: &str,
) -> Result<Conversion<'c>> {
    let fields = checkpoint.fields()?;
    let model_type = fields.str("model_type")?;
    let Some(architecture) = gguf_architecture(model_type) else {
        return Err(fields.unsupported(
            "model_type",
            &format!("is {model_type:?}, for which GGUF files have no name here"),
        ));
    };
    let tensors = Namer {
        checkpoint,
        recipe,
        architecture,
    }
    .tensors()?;
    let metadata = gguf::describe(checkpoint, architecture, name, recipe.file_type).await?;
    let infos = tensors.iter().map(|tensor| gguf::NewInfo {
        name: &tensor.name,
        shape: &tensor.shape,
        format: tensor.format,
        bytes: tensor.bytes(),
    });
    Ok(Conversion {
        header: gguf::header(&metadata, &infos.collect::<Vec<_>>()),
        tensors,
        alignment: ALIGNMENT as usize,
        texts: Vec::new(),
    })
}

struct Namer<'c, 'r> {
    checkpoint: &'c Checkpoint,
    recipe: &'r Recipe,
    architecture: &'static str,
}

impl<'c> Namer<'c, '_> {
    fn tensors(&self) -> Result<Vec<Converted<'c>>> {
        let (stored, outline) = weights(self.checkpoint)?;
        let from_gguf = self.checkpoint.metadata().is_some();
        let mut tensors = Vec::new();
        let mut experts: BTreeMap<String, Vec<(usize, StoredTensor)>> = BTreeMap::new();
        for tensor in stored {
            // Layers of predictions have names of their own there.
            if !from_gguf && layer_of(tensor.name).is_some_and(|layer| layer >= outline.layers) {
                continue;
            }
            let format = self.recipe.format(tensor.name, tensor.shape, outline);
            let split = !from_gguf && self.architecture == "deepseek2";
            if split && tensor.name.ends_with(".kv_b_proj.weight") {
                tensors.extend(self.halves(tensor, outline)?);
                continue;
            }
            match gguf_name(self.architecture, tensor.name) {
                Some(found) => match found.expert {
                    Some(expert) => experts
                        .entry(found.name)
                        .or_default()
                        .push((expert, tensor)),
                    None => tensors.push(converted(
                        found.name,
                        tensor.shape.to_vec(),
                        format,
                        self.parts(tensor)?,
                    )),
                },
                // Nothing is known of it, so it stays as it is.
                None if from_gguf => {
                    let name = tensor.name.to_owned();
                    let shape = tensor.shape.to_vec();
                    let format = tensor.format().unwrap_or(&formats::F32);
                    tensors.push(converted(name, shape, format, vec![Part::all(tensor)]));
                }
                None => {
                    let what = format!("tensor `{}` has no name in GGUF files", tensor.name);
                    return Err(Error::unsupported(tensor.path(), what));
                }
            }
        }
        for (name, experts) in experts {
            tensors.push(self.stack(name, experts, outline)?);
        }
        if !from_gguf && let Some(divisors) = gguf::divisors(self.checkpoint)? {
            let shape = vec![divisors.len()];
            let parts = vec![Part::Values(divisors)];
            tensors.push(converted(DIVISORS.into(), shape, &formats::F32, parts));
        }
        Ok(tensors)
    }

    /// The rows of a tensor, as files have them.
    fn parts(&self, tensor: StoredTensor<'c>) -> Result<Vec<Part<'c>>> {
        let fields = self.checkpoint.fields()?;
        if self.architecture != "llama" || fields.bool_or("rope_interleave", false)? {
            return Ok(vec![Part::all(tensor)]);
        }
        llama_rows(self.checkpoint, tensor, Order::Alternating)
    }

    /// The two halves of `kv_b_proj`: keys, transposed for each head, and values.
    fn halves(&self, tensor: StoredTensor<'c>, outline: Outline) -> Result<[Converted<'c>; 2]> {
        let fields = self.checkpoint.fields()?;
        let [count, nope, value] = ["num_attention_heads", "qk_nope_head_dim", "v_head_dim"]
            .map(|name| fields.usize(name));
        let (count, nope, value) = (count?, nope?, value?);
        let (rows, latent) = (tensor.rows(), tensor.columns());
        if rows != count * (nope + value) {
            let what = format!(
                "tensor `{}` has {rows} rows, but config.json calls for {count} heads of {nope} + {value}",
                tensor.name
            );
            return Err(Error::damaged(tensor.path(), what));
        }
        let first = |head: usize| head * (nope + value);
        let keys = |head| Part::Stored {
            tensor,
            rows: first(head)..first(head) + nope,
            order: Order::Transposed,
        };
        let values = |head| Part::Stored {
            tensor,
            rows: first(head) + nope..first(head + 1),
            order: Order::AsStored,
        };
        let make = |half: &str, shape: [usize; 3], parts| {
            let name = tensor.name.replace("kv_b_proj", half);
            let format = self.recipe.format(&name, &shape, outline);
            let name = gguf_name(self.architecture, &name).expect("the table has both halves");
            converted(name.name, shape.to_vec(), format, parts)
        };
        Ok([
            make(
                "k_b_proj",
                [count, latent, nope],
                (0..count).map(keys).collect(),
            ),
            make(
                "v_b_proj",
                [count, value, latent],
                (0..count).map(values).collect(),
            ),
        ])
    }

    /// Experts one behind the other.
    fn stack(
        &self,
        name: String,
        mut experts: Vec<(usize, StoredTensor<'c>)>,
        outline: Outline,
    ) -> Result<Converted<'c>> {
        experts.sort_by_key(|(expert, _)| *expert);
        let (_, first) = experts[0];
        let fits = |(index, (expert, tensor)): (usize, &(usize, StoredTensor))| {
            index == *expert && tensor.shape == first.shape && tensor.shape.len() == 2
        };
        if !experts.iter().enumerate().all(fits) {
            let what = format!(
                "tensor `{}` and the other experts' differ, or one is missing",
                first.name
            );
            return Err(Error::damaged(first.path(), what));
        }
        let shape = [&[experts.len()], first.shape].concat();
        let format = self.recipe.format(first.name, first.shape, outline);
        let parts = experts.into_iter().map(|(_, tensor)| Part::all(tensor));
        Ok(converted(name, shape, format, parts.collect()))
    }
}

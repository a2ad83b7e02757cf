//! A checkpoint's tensors as a folder in Hugging Face layout has them.

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::recipe::Recipe;
use super::{Conversion, Converted, Order, Part, converted, llama_rows, row_bytes, weights};
use crate::checkpoint::blocks::METHOD;
use crate::checkpoint::gguf::DIVISORS;
use crate::checkpoint::{Checkpoint, NewTensor, StoredTensor, TEXTS, safetensors_header};
use crate::error::{Error, Result};

/// See [`Conversion::to_folder`].
pub(super) async fn convert<'c>(
    checkpoint: &'c Checkpoint,
    recipe: &Recipe,
) -> Result<Conversion<'c>> {
    let (stored, outline) = weights(checkpoint)?;
    let turns_neighbours = checkpoint.metadata().is_some()
        && checkpoint.fields()?.bool_or("rope_interleave", false)?;
    let mut tensors = Vec::new();
    for tensor in stored {
        // The configuration has them.
        if tensor.name == DIVISORS {
            continue;
        }
        // Both halves become one tensor, at the place of the first; some files have the whole, too.
        let whole = tensor.name.replace(".k_b_proj.", ".kv_b_proj.");
        let is_double = whole != tensor.name && checkpoint.tensor(&whole).is_some();
        if is_double || tensor.name.ends_with(".v_b_proj.weight") {
            continue;
        }
        let (name, shape, parts) = if tensor.name.ends_with(".k_b_proj.weight") {
            joined(checkpoint, tensor)?
        } else {
            let parts = if turns_neighbours {
                llama_rows(checkpoint, tensor, Order::Halves)?
            } else {
                vec![Part::all(tensor)]
            };
            (tensor.name.to_owned(), tensor.shape.to_vec(), parts)
        };
        let format = recipe.format(&name, &shape, outline);
        tensors.push(converted(name, shape, format, parts));
    }
    let infos: Vec<_> = tensors.iter().map(info).collect();
    let mut texts = vec![("config.json", config(checkpoint, recipe, &tensors))];
    for file in TEXTS {
        texts.extend(checkpoint.text(file).await?.map(|text| (file, text)));
    }
    Ok(Conversion {
        header: safetensors_header(&infos),
        tensors,
        alignment: 1,
        texts,
    })
}

/// `kv_b_proj` of its two halves in GGUF files.
fn joined<'c>(
    checkpoint: &'c Checkpoint,
    keys: StoredTensor<'c>,
) -> Result<(String, Vec<usize>, Vec<Part<'c>>)> {
    let damaged = |what: &str| {
        let what = format!("tensor `{}` {what}", keys.name);
        Error::damaged(keys.path(), what)
    };
    let values = keys.name.replace(".k_b_proj.", ".v_b_proj.");
    let values = checkpoint
        .tensor(&values)
        .ok_or_else(|| damaged("has no other half"))?;
    let (&[heads, latent, nope], &[others, value, columns]) = (keys.shape, values.shape) else {
        return Err(damaged("or its other half has no matrices"));
    };
    if (heads, latent) != (others, columns) {
        return Err(damaged("does not fit its other half"));
    }
    let head = |head: usize| {
        let stored = |tensor, height: usize, order| Part::Stored {
            tensor,
            rows: head * height..(head + 1) * height,
            order,
        };
        [
            stored(keys, latent, Order::Transposed),
            stored(values, value, Order::AsStored),
        ]
    };
    Ok((
        keys.name.replace(".k_b_proj.", ".kv_b_proj."),
        vec![heads * (nope + value), latent],
        (0..heads).flat_map(head).collect(),
    ))
}

/// How a safetensors file has it: blocks as bytes, since it has no type for them.
fn info(tensor: &Converted) -> NewTensor {
    let mut shape = tensor.shape.clone();
    let dtype = tensor.format.stored.unwrap_or_else(|| {
        if let Some(columns) = shape.last_mut() {
            *columns = row_bytes(tensor.format, *columns) as usize;
        }
        Dtype::U8
    });
    NewTensor {
        name: tensor.name.clone(),
        dtype,
        shape,
    }
}

/// config.json, with the types of what safetensors has none for.
fn config(checkpoint: &Checkpoint, recipe: &Recipe, tensors: &[Converted]) -> String {
    let mut config = match checkpoint.config() {
        Value::Object(config) => config.clone(),
        _ => Map::new(),
    };
    config.shift_remove("quantization_config");
    if checkpoint.metadata().is_some() {
        config.shift_remove("rope_interleave");
    }
    let dtype = match recipe.name {
        "f16" => "float16",
        "bf16" => "bfloat16",
        _ => "float32",
    };
    config.insert("torch_dtype".into(), dtype.into());
    let blocks = tensors
        .iter()
        .filter(|tensor| tensor.format.stored.is_none());
    let types: Map<_, _> = blocks
        .map(|tensor| (tensor.name.clone(), tensor.format.name.into()))
        .collect();
    if !types.is_empty() {
        let quantization = json!({ "quant_method": METHOD, "types": types });
        config.insert("quantization_config".into(), quantization);
    }
    format!("{:#}\n", Value::Object(config))
}

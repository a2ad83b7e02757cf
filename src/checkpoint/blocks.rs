//! Safetensors files with tensors of bytes that hold GGUF's blocks, since they have no types for them:
//! config.json names the format of each. tiefsee writes such files; nobody else does.

use safetensors::Dtype;
use serde_json::Value;

use super::config::Fields;
use super::tensor::{Encoding, Location};
use crate::error::{Error, Result};
use crate::formats::Format;

/// The method of `quantization_config`.
pub(super) const METHOD: &str = "ggml";

/// Whether `config` speaks of such tensors.
pub(super) fn is_meant(config: &Fields) -> Result<bool> {
    let quantization = config.object("quantization_config")?;
    let method = quantization.map(|fields| fields.optional_str("quant_method"));
    Ok(method.transpose()?.flatten() == Some(METHOD))
}

/// The names of such tensors and of their formats.
pub(super) fn types(config: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let types = config["quantization_config"]["types"].as_object();
    types
        .into_iter()
        .flatten()
        .map(|(name, format)| (name.as_str(), format))
}

/// Takes the bytes of a tensor of the file called `path` for blocks.
pub(super) fn retype(
    path: &str,
    name: &str,
    location: &mut Location,
    format: &Value,
) -> Result<()> {
    let known = format.as_str().and_then(Format::named);
    let ggml = known.and_then(|known| Some((known, known.ggml.as_ref()?)));
    let Some((format, ggml)) = ggml else {
        let what = format!("tensor `{name}` has the type {format}, which is not supported");
        return Err(Error::unsupported(path, what));
    };
    match location.shape.last_mut() {
        Some(columns)
            if location.encoding == Encoding::Numbers(Dtype::U8)
                && columns.is_multiple_of(ggml.bytes) =>
        {
            *columns = *columns / ggml.bytes * ggml.weights;
        }
        _ => {
            let what = format!(
                "tensor `{name}` has the type {} and the shape {:?}, not rows of U8 that hold blocks of {} bytes",
                location.encoding, location.shape, ggml.bytes
            );
            return Err(Error::damaged(path, what));
        }
    }
    location.encoding = Encoding::Blocks(format);
    Ok(())
}

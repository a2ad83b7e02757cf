//! What a user calls a model, and where it lies.

use std::path::Path;
use std::rc::Rc;

use crate::checkpoint::gguf::is_model_file;
use crate::checkpoint::{Checkpoint, Embedded, Folder, Source};
use crate::error::Result;

macro_rules! demo_file {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/examples/demo-model/",
                $name
            )),
        )
    };
}

/// The bundled model, part of the program.
static DEMO_FILES: [(&str, &[u8]); 5] = [
    demo_file!("config.json"),
    demo_file!("generation_config.json"),
    demo_file!("model.safetensors"),
    demo_file!("tokenizer.json"),
    demo_file!("tokenizer_config.json"),
];

/// The files of `demo`, of a folder, or of a GGUF model, which is called by its first file.
///
/// # Errors
/// [`Error::NotFound`](crate::error::Error::NotFound) if there is no such folder or file.
pub fn open_source(model: &str) -> Result<Rc<dyn Source>> {
    if model == "demo" {
        return Ok(Rc::new(Embedded {
            name: "demo",
            files: &DEMO_FILES,
        }));
    }
    let path = Path::new(model);
    Ok(Rc::new(if is_model_file(model) && !path.is_dir() {
        Folder::of_file(path)?
    } else {
        Folder::open(path)?
    }))
}

/// The headers of what lies at `source`, YaRN's `attn_factor` left aside if asked for.
///
/// # Errors
/// As [`Checkpoint::open`].
pub async fn open_checkpoint(
    source: &Rc<dyn Source>,
    ignore_attn_factor: bool,
) -> Result<Checkpoint> {
    let mut checkpoint = Checkpoint::open(Rc::clone(source)).await?;
    if ignore_attn_factor {
        checkpoint.ignore_attn_factor();
    }
    Ok(checkpoint)
}

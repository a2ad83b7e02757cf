//! What a user calls a model, and where it lies.

use std::rc::Rc;

use crate::checkpoint::{Embedded, Folder, Source};
use crate::error::{Error, Result};

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

/// The files of `demo` or of a folder.
///
/// # Errors
/// [`Error::NotFound`] if there is no such folder, [`Error::Unsupported`] for GGUF files.
pub fn open_source(model: &str) -> Result<Rc<dyn Source>> {
    if model == "demo" {
        return Ok(Rc::new(Embedded {
            name: "demo",
            files: &DEMO_FILES,
        }));
    }
    if model.to_lowercase().ends_with(".gguf") {
        let what =
            "GGUF files are not supported; a folder with config.json and safetensors files is";
        return Err(Error::unsupported(model, what));
    }
    Ok(Rc::new(Folder::open(model)?))
}

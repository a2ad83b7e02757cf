//! A model as its files: tensors by name, config.json, texts.
//!
//! Every number in a file is checked against the bytes that are there before it is
//! used; nothing here knows a device, and only `gguf` knows what architectures are called.

mod blocks;
mod config;
mod convert;
pub mod gguf;
mod manifest;
mod numbers;
mod parameters;
mod safetensors;
mod scales;
mod scope;
mod source;
mod tensor;
mod tensor_file;
mod unique;

use std::collections::BTreeMap;
use std::rc::Rc;

use ::safetensors::Dtype;
use futures::future::LocalBoxFuture;
use serde::Deserialize;
use serde_json::Value;

use self::gguf::Metadata;
use self::safetensors::read_header;
use self::scales::{SUFFIX, Scales, fp8_block};
use self::source::{is_plain_name, path, read_text};
use self::unique::Unique;
use crate::error::{Error, Result};

pub use self::config::{Fields, Llama3, Rope, RopeScaling, Yarn};
pub use self::convert::{Conversion, Packer, Recipe, pack_blocks};
pub use self::manifest::{MANIFEST, Manifest, sha256};
pub use self::parameters::Parameters;
pub use self::scope::Scope;
pub use self::source::{Embedded, Folder, Source};
use self::tensor::Location;
pub use self::tensor::{Encoding, StoredTensor};
pub use self::tensor_file::{NewTensor, TensorFile, safetensors_header};

/// The texts that a folder may have beside config.json.
pub const TEXTS: [&str; 4] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The most bytes of a config.json.
const LARGEST_CONFIG: u64 = 16 << 20;

/// The most bytes of any other text.
const LARGEST_TEXT: u64 = 256 << 20;

/// A model as Hugging Face lays it out, config.json and safetensors files, or GGUF files that are
/// read as if they were laid out so.
pub struct Checkpoint {
    source: Rc<dyn Source>,
    config: Value,
    /// The file that says which tensors there are.
    contents: String,
    /// That of GGUF files.
    metadata: Option<Metadata>,
    shards: Vec<String>,
    tensors: BTreeMap<String, Entry>,
    /// Rows and columns of the blocks of FP8 weights that share a scale.
    fp8_block: Option<[usize; 2]>,
}

struct Entry {
    shard: usize,
    location: Location,
}

impl Checkpoint {
    /// Reads config.json and the headers of the weights' files, but no weights.
    ///
    /// [`Error::NotFound`] when one of the files is missing, [`Error::Damaged`] or
    /// [`Error::Unsupported`] for what is wrong in one.
    pub fn open(source: Rc<dyn Source>) -> LocalBoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            match source.model_file() {
                Some(file) => Self::open_gguf(source, &file).await,
                None => Self::open_folder(source).await,
            }
        })
    }

    fn new(source: Rc<dyn Source>, config: Value, contents: &str) -> Self {
        Self {
            source,
            config,
            contents: contents.to_owned(),
            metadata: None,
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            fp8_block: None,
        }
    }

    async fn open_folder(source: Rc<dyn Source>) -> Result<Self> {
        let config = read_config(&*source).await?;
        let mut checkpoint = Self::new(source, config, SINGLE);
        let has_blocks = blocks::is_meant(&checkpoint.fields()?)?;
        if !has_blocks {
            checkpoint.fp8_block = fp8_block(&checkpoint.fields()?)?;
        }
        if let Some(tensors) = read_header(&*checkpoint.source, SINGLE).await? {
            checkpoint.add_shard(SINGLE, tensors)?;
        } else {
            INDEX.clone_into(&mut checkpoint.contents);
            checkpoint.read_shards().await?;
        }
        checkpoint.check_scales()?;
        if has_blocks {
            checkpoint.retype()?;
        }
        Ok(checkpoint)
    }

    /// Takes tensors of bytes for the blocks that config.json says they hold.
    fn retype(&mut self) -> Result<()> {
        for (name, format) in blocks::types(&self.config) {
            let Some(Entry { shard, location }) = self.tensors.get_mut(name) else {
                let what = format!("names the type of `{name}`, but there is no such tensor");
                return Err(Error::damaged(self.path(CONFIG), what));
            };
            let path = path(&*self.source, &self.shards[*shard]);
            blocks::retype(&path, name, location, format)?;
        }
        Ok(())
    }

    /// What config.json holds, an object.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Leaves `attn_factor` of YaRN aside, as transformers does: cosines and sines of R1-0528-Qwen3-8B are
    /// then 1.1386 times as large as its authors asked for.
    pub fn ignore_attn_factor(&mut self) {
        for name in ["rope_scaling", "rope_parameters"] {
            if let Some(Value::Object(scaling)) = self.config.get_mut(name) {
                scaling.shift_remove("attn_factor");
            }
        }
    }

    /// The typed fields of config.json.
    pub fn fields(&self) -> Result<Fields<'_>> {
        Fields::new(self.path(CONFIG), &self.config)
    }

    /// A text file of the folder; `None` when there is no such file.
    ///
    /// Of a GGUF file it is what its metadata say in the words of that file; [`Error::Damaged`] or
    /// [`Error::Unsupported`] where they make no sense.
    pub async fn text(&self, file: &str) -> Result<Option<String>> {
        match &self.metadata {
            // The hashes are in a file of their own beside every model.
            Some(metadata) if file != MANIFEST => gguf::text(&self.contents(), metadata, file),
            _ => read_text(&*self.source, file, LARGEST_TEXT).await,
        }
    }

    /// What messages call `file`, for errors about what is in it.
    pub fn path(&self, file: &str) -> String {
        let is_file = file == MANIFEST || self.shards.iter().any(|shard| shard == file);
        if self.metadata.is_some() && !is_file {
            // What is wrong is in the metadata, though under another name.
            return format!("{} (as {file})", self.contents());
        }
        path(&*self.source, file)
    }

    /// The metadata of GGUF files; `None` for other checkpoints.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Every tensor, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.tensors
            .iter()
            .map(|(name, entry)| self.stored(name, entry))
    }

    /// The tensor called `name`, whatever its shape.
    pub fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let (name, entry) = self.tensors.get_key_value(name)?;
        Some(self.stored(name, entry))
    }

    /// The names of the files that hold tensors.
    pub fn shards(&self) -> &[String] {
        &self.shards
    }

    /// How many tensors each encoding has, and how many bytes they are.
    pub fn encodings(&self) -> BTreeMap<String, [u64; 2]> {
        let mut sums: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for tensor in self.tensors() {
            let [tensors, bytes] = sums.entry(tensor.encoding.to_string()).or_default();
            *tensors += 1;
            *bytes += tensor.bytes();
        }
        sums
    }

    /// The bytes of all tensors together.
    pub fn bytes(&self) -> u64 {
        self.tensors().map(|tensor| tensor.bytes()).sum()
    }

    /// The scope in which tensors have their full names.
    pub fn root(&self) -> Scope<'_> {
        Scope::new(self)
    }

    /// What messages call the file that says which tensors there are.
    fn contents(&self) -> String {
        path(&*self.source, &self.contents)
    }

    fn stored<'c>(&'c self, name: &'c str, entry: &'c Entry) -> StoredTensor<'c> {
        let Location {
            encoding,
            ref shape,
            ref bytes,
        } = entry.location;
        let file = &self.shards[entry.shard];
        StoredTensor::new(&*self.source, file, name, encoding, shape, bytes.clone())
            .scaled(self.scales(name, encoding))
    }

    /// The scales of the FP8 tensor called `name`.
    fn scales(&self, name: &str, encoding: Encoding) -> Option<Scales<'_>> {
        let block = self.fp8_block?;
        if encoding != Encoding::Numbers(Dtype::F8_E4M3) {
            return None;
        }
        let scales = self.tensors.get_key_value(&format!("{name}{SUFFIX}"));
        let (name, Entry { shard, location }) = scales?;
        Some(Scales::new(
            &*self.source,
            &self.shards[*shard],
            (name, location),
            block,
        ))
    }

    /// Checks that the scales of every FP8 tensor have the shape that its blocks call for.
    fn check_scales(&self) -> Result<()> {
        let Some(block) = self.fp8_block else {
            return Ok(());
        };
        for (name, Entry { location, .. }) in &self.tensors {
            let Some(scales) = self.tensors.get(&format!("{name}{SUFFIX}")) else {
                continue;
            };
            let wanted = Scales::shape_for(&location.shape, block);
            if wanted.as_ref().map(<[usize; 2]>::as_slice) != Some(&scales.location.shape) {
                let what = format!(
                    "tensor `{name}{SUFFIX}` has the shape {:?}, which does not fit blocks of {block:?} of {:?}",
                    scales.location.shape, location.shape
                );
                return Err(Error::damaged(self.path(&self.shards[scales.shard]), what));
            }
        }
        Ok(())
    }

    async fn read_shards(&mut self) -> Result<()> {
        let Index {
            weight_map: Unique(weight_map),
        } = self.read_index().await?;
        let mut shards: Vec<&String> = weight_map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            if !is_plain_name(shard) {
                let what = format!("names {shard:?}, which is no name of a file in its folder");
                return Err(Error::damaged(self.contents(), what));
            }
            let Some(tensors) = read_header(&*self.source, shard).await? else {
                let what = format!("no such file, but {INDEX} names it");
                return Err(Error::damaged(self.path(shard), what));
            };
            self.add_shard(shard, tensors)?;
        }
        for (name, shard) in &weight_map {
            let found = self
                .tensors
                .get(name)
                .map(|entry| &self.shards[entry.shard]);
            if found != Some(shard) {
                let what = format!("has no tensor `{name}`, but {INDEX} says so");
                return Err(Error::damaged(self.path(shard), what));
            }
        }
        Ok(())
    }

    async fn read_index(&self) -> Result<Index> {
        let Some(text) = self.text(INDEX).await? else {
            return Err(Error::NotFound(format!(
                "{}: neither {SINGLE} nor {INDEX} is there; {}",
                self.source.name(),
                a_model_folder()
            )));
        };
        serde_json::from_str(&text)
            .map_err(|error| Error::damaged(self.contents(), error.to_string()))
    }

    fn add_shard(&mut self, file: &str, tensors: BTreeMap<String, Location>) -> Result<()> {
        for (name, location) in tensors {
            if let Some(Entry { shard, .. }) = self.tensors.get(&name) {
                let what = format!("has tensor `{name}`, as {} has", self.shards[*shard]);
                return Err(Error::damaged(self.path(file), what));
            }
            self.tensors.insert(
                name,
                Entry {
                    shard: self.shards.len(),
                    location,
                },
            );
        }
        self.shards.push(file.to_owned());
        Ok(())
    }
}

/// The file that says in which shard each tensor is.
#[derive(Deserialize)]
struct Index {
    weight_map: Unique<String>,
}

async fn read_config(source: &dyn Source) -> Result<Value> {
    let Some(text) = read_text(source, CONFIG, LARGEST_CONFIG).await? else {
        return Err(Error::NotFound(format!(
            "{}: {CONFIG} is missing; {}",
            source.name(),
            a_model_folder()
        )));
    };
    let damaged = |what| Error::damaged(path(source, CONFIG), what);
    match serde_json::from_str(&text) {
        Ok(config @ Value::Object(_)) => Ok(config),
        Ok(_) => Err(damaged("is not an object".to_owned())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn a_model_folder() -> String {
    format!(
        "a model folder holds {CONFIG}, tokenizer.json, and {SINGLE} or {INDEX} with its shards; \
         a model in GGUF files is named by its file, the first if there are several"
    )
}

//! Flags that mean the same in every command, and loading a model as they say.
//!
//! Flags come before the environment, the environment before what the checkpoint recommends.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;

use clap::builder::{FalseyValueParser, PossibleValuesParser};
use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{Sampler, Sampling, Speculate, Tune};
use tiefsee::formats::{self, Format};
use tiefsee::gpu::{AdapterReport, CacheType, DeviceOptions, FolderStore, Store, cache};
use tiefsee::llm::{open_checkpoint, open_source};
use tiefsee::text::StopStrings;
use tiefsee::{Error, GenerateOptions, Llm, LoadOptions, Result};

use super::output::note;
use super::plan;
use super::progress::LoadReport;

const SAMPLING: &str = "Sampling (defaults: the model's generation_config.json, else 0.6 and 0.95)";

/// Which device, with which of its features.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct DeviceArguments {
    /// The adapter's number, a part of its name, or cpu for a software adapter [default: the best]
    #[arg(
        long,
        help_heading = "Device",
        value_name = "N|NAME|cpu",
        env = "TIEFSEE_DEVICE",
        hide_env_values = true
    )]
    pub(crate) device: Option<String>,
    /// Leave subgroup operations unused
    #[arg(long, help_heading = "Device", env = "TIEFSEE_NO_SUBGROUPS", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) no_subgroups: bool,
    /// Leave 16-bit floats unused
    #[arg(long, help_heading = "Device", env = "TIEFSEE_NO_F16", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) no_f16: bool,
    /// Leave matrix units unused
    #[arg(long, help_heading = "Device", env = "TIEFSEE_NO_MATRIX", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) no_matrix: bool,
    /// Leave 64-bit integers unused (only software adapters gain from them)
    #[arg(long, help_heading = "Device", env = "TIEFSEE_NO_INT64", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) no_int64: bool,
    /// Where compiled kernels and what was learnt of a device are kept; empty for nowhere [default: the system's folder for caches]
    #[arg(
        long,
        help_heading = "Device",
        value_name = "FOLDER",
        env = "TIEFSEE_CACHE_DIR",
        hide_env_values = true
    )]
    cache_dir: Option<OsString>,
}

impl DeviceArguments {
    /// Where what is learnt of devices is kept, if anywhere.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        match &self.cache_dir {
            Some(folder) if folder.is_empty() => None,
            Some(folder) => Some(folder.into()),
            None => Some(choose_native_strategy().ok()?.cache_dir().join("tiefsee")),
        }
    }

    /// The same for the library.
    pub(crate) fn options(&self) -> DeviceOptions {
        let store = self
            .cache_folder()
            .map(|folder| Rc::new(FolderStore::new(folder)) as Rc<dyn Store>);
        DeviceOptions {
            device: self.device.clone(),
            no_subgroups: self.no_subgroups,
            no_f16: self.no_f16,
            no_matrix: self.no_matrix,
            no_int64: self.no_int64,
            store,
        }
    }

    /// Names the features that are not used because they do not work, and says so if a processor
    /// stands in for a GPU without having been asked for.
    pub(crate) fn warn(&self, device: &AdapterReport, disabled: &[String]) {
        for what in disabled {
            note(&format!("warning: {what}"));
        }
        if self.device.is_none() && device.is_software() {
            note(&format!(
                "warning: no GPU was found; the software adapter {} is used, which is much slower (--device cpu \
                 says that this is meant)",
                device.info.name
            ));
        }
    }
}

/// Which model, and how it is loaded.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ModelArguments {
    /// The model: demo, a folder in Hugging Face layout, or a GGUF file
    #[arg(default_value = "demo")]
    pub(crate) model: String,
    /// Tokens of prompt and answer together [default: what the model allows, at most 8192]
    #[arg(long, value_name = "N", env = "TIEFSEE_CTX", hide_env_values = true)]
    pub(crate) ctx: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) read: ReadArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Steps that the device has to work on at once [default: 4, or 1 on a software adapter]
    #[arg(
        long,
        value_name = "N",
        env = "TIEFSEE_IN_FLIGHT",
        hide_env_values = true
    )]
    pub(crate) in_flight: Option<NonZeroUsize>,
    /// Guess tokens and check several at once: auto (by the model's own layer of predictions, if it has one and
    /// that is faster), on (always, and as lookup if it has none), lookup (by what followed the same tokens before)
    #[arg(long, value_name = "HOW", env = "TIEFSEE_SPECULATE", hide_env_values = true, default_value = "auto",
          value_parser = PossibleValuesParser::new(Speculate::NAMES))]
    speculate: String,
    /// Tell about the device and the times
    #[arg(long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    tune: TuneArguments,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
}

/// Whether constants of kernels are measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TuneArguments {
    /// Measure again which sizes of workgroups suit the device and the model; else a GPU does so once, in 2 seconds
    #[arg(long, help_heading = "Device")]
    retune: bool,
}

impl TuneArguments {
    /// The same for the library.
    pub(crate) fn when(&self) -> Tune {
        if self.retune {
            Tune::Again
        } else {
            Tune::Unknown
        }
    }
}

/// How a checkpoint is read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadArguments {
    #[arg(long, help = quantize_help(), value_name = "TYPE", env = "TIEFSEE_QUANTIZE", hide_env_values = true)]
    pub(crate) quantize: Option<String>,
    /// Leave YaRN's `attn_factor` aside, as transformers does (R1-0528-Qwen3-8B has one)
    #[arg(long, env = "TIEFSEE_IGNORE_ATTN_FACTOR", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) ignore_attn_factor: bool,
}

impl ReadArguments {
    /// The checkpoint that `model` names.
    ///
    /// # Errors
    /// Those of reading headers.
    pub(crate) async fn open(&self, model: &str) -> Result<Checkpoint> {
        open_checkpoint(&open_source(model)?, self.ignore_attn_factor).await
    }

    /// The format of that name.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names there are, for any other.
    pub(crate) fn format(&self) -> Result<Option<&'static Format>> {
        let Some(name) = &self.quantize else {
            return Ok(None);
        };
        Format::named(name).map(Some).ok_or_else(|| {
            let known: Vec<_> = formats::ALL.iter().map(|format| format.name).collect();
            let known = known.join(", ");
            Error::Usage(format!(
                "--quantize {name}: no such format; there is {known}"
            ))
        })
    }
}

/// How the cache stores what attention keeps of a token.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CacheArguments {
    #[arg(long, help = cache_help(), value_name = "TYPE", env = "TIEFSEE_CACHE_TYPE", hide_env_values = true)]
    pub(crate) cache_type: Option<String>,
}

impl CacheArguments {
    /// The type of that name.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names there are, for any other.
    pub(crate) fn kind(&self) -> Result<&'static CacheType> {
        let Some(name) = &self.cache_type else {
            return Ok(Default::default());
        };
        CacheType::named(name).ok_or_else(|| {
            Error::Usage(format!(
                "--cache-type {name}: no such type; there is {}",
                cache_names()
            ))
        })
    }
}

impl ModelArguments {
    /// The same for the library.
    ///
    /// # Errors
    /// [`Error::Usage`] for an option that makes no sense.
    pub(crate) fn load_options(&self) -> Result<LoadOptions> {
        Ok(LoadOptions {
            device: self.device.options(),
            context: self.ctx.map(NonZeroUsize::get),
            sequences: 1,
            quantize: self.read.format()?,
            ignore_attn_factor: self.read.ignore_attn_factor,
            cache_type: self.cache.kind()?,
            in_flight: self.in_flight,
            speculate: Speculate::named(&self.speculate).unwrap_or_default(),
            tune: self.tune.when(),
        })
    }

    /// Loads the model for one answer at a time and tells how far it is.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub(crate) fn load(&self) -> Result<Llm> {
        self.load_for(1)
    }

    /// Loads the model for so many answers together and tells how far it is.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub(crate) fn load_for(&self, sequences: usize) -> Result<Llm> {
        let report = LoadReport::new(&self.model);
        let source = open_source(&self.model)?;
        let options = LoadOptions {
            sequences,
            ..self.load_options()?
        };
        let update = |progress| report.update(progress);
        let llm = pollster::block_on(Llm::load_from(source, options.clone(), &update));
        let took = report.finish();
        if let Err(Error::DoesNotFit(_)) = llm {
            // What has to change; if that is not to be had, the error itself says enough.
            _ = plan::refusal(&self.model, &options).map(|table| note(&table));
        }
        let llm = llm?;
        self.device.warn(llm.device(), llm.disabled());
        if self.verbose {
            let AdapterReport { info, tiers, .. } = llm.device();
            note(&format!(
                "{}: loaded in {:.2} s",
                self.model,
                took.as_secs_f64()
            ));
            note(&format!(
                "device: {} ({}, {}, driver {} {}), {tiers:?}",
                info.name,
                llm.device().kind(),
                info.backend,
                info.driver,
                info.driver_info
            ));
        }
        Ok(llm)
    }
}

/// How tokens are chosen, and when an answer ends.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Sampling (defaults: the model's generation_config.json, else 0.6 and 0.95)"
)]
pub(crate) struct SamplingArguments {
    /// Spread of the choice; 0 always takes the best token
    #[arg(long, help_heading = SAMPLING, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Only the best tokens that together have this probability
    #[arg(long, help_heading = SAMPLING, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Only the best N tokens; 0 for all
    #[arg(long, help_heading = SAMPLING, value_name = "N")]
    pub(crate) top_k: Option<usize>,
    /// Only tokens with this share of the best one's probability
    #[arg(long, help_heading = SAMPLING, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// What scores of tokens that were there before are divided by; 1 for no change
    #[arg(long, help_heading = SAMPLING, value_name = "X")]
    pub(crate) repeat_penalty: Option<f32>,
    /// Where random numbers start; the same seed gives the same answer [default: from the clock]
    #[arg(long, help_heading = SAMPLING, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A text that ends the answer; may be given several times
    #[arg(long, help_heading = SAMPLING, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// The most tokens of an answer
    #[arg(long, help_heading = SAMPLING, value_name = "N")]
    pub(crate) max_tokens: Option<NonZeroUsize>,
}

impl SamplingArguments {
    /// Checks what needs no model, so that a slip does not cost the time of loading one.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let mut sampling = Sampling::GREEDY;
        self.overwrite(&mut sampling);
        Sampler::new(sampling)?;
        StopStrings::new(self.stop.clone())?;
        Ok(())
    }

    /// The checkpoint's recommendation with these settings over it.
    pub(crate) fn options(&self, llm: &Llm) -> GenerateOptions {
        let mut options = llm.defaults(self.seed.unwrap_or_else(clock_seed));
        self.overwrite(&mut options.sampling);
        options.stop.clone_from(&self.stop);
        if let Some(most) = self.max_tokens {
            options.max_tokens = Some(most.get());
        }
        options
    }

    fn overwrite(&self, sampling: &mut Sampling) {
        let set = |place: &mut f32, value: Option<f32>| *place = value.unwrap_or(*place);
        set(&mut sampling.temperature, self.temperature);
        set(&mut sampling.top_p, self.top_p);
        set(&mut sampling.min_p, self.min_p);
        set(&mut sampling.repetition_penalty, self.repeat_penalty);
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
    }
}

/// A seed from the clock, short enough that every JSON reader keeps all of it.
fn clock_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    (now.as_secs() ^ u64::from(now.subsec_nanos()) << 2) & u64::from(u32::MAX)
}

fn format_names() -> String {
    formats::ALL
        .iter()
        .map(|format| format.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn cache_names() -> String {
    let names: Vec<_> = cache::ALL.iter().map(|kind| kind.name).collect();
    names.join(", ")
}

fn cache_help() -> String {
    let names = cache_names();
    format!("Store what attention keeps of every token as a type: {names} [default: f32]")
}

fn quantize_help() -> String {
    let names = format_names();
    format!("Pack projections into a format on loading: {names} [default: as stored]")
}

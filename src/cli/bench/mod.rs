//! `tiefsee bench`: tokens per second in llama-bench's words, and how near each kernel is to what the device can do.
//!
//! Runs token ids without tokenizer or sampling, so it needs no more than config.json and weights.

mod by_op;
mod compare;
mod cost;
mod measure;
mod ops;
mod plot;
mod products;
mod random;
mod random_shapes;
mod report;
mod roofline;
mod samples;
mod tables;
mod tests;
mod traffic;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use tiefsee::Result;
use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{BLOCK, Runner, tune};
use tiefsee::formats::Format;
use tiefsee::llm::load_model;
use tiefsee::models::{Model, WeightOptions, architecture};
use tiefsee::selftest::{Proven, Roof};

use super::common::{CacheArguments, DeviceArguments, ReadArguments, TuneArguments};
use super::output;
use super::progress::LoadReport;
use compare::{Comparison, Earlier};
use cost::Price;
use measure::Bench;
use report::{FormatArguments, Report, Start};
use tests::Test;

/// Tokens of the prompt whose first token is waited for, where the context holds as many.
const FIRST_PROMPT: usize = 128;

const EXAMPLES: &str = "\
Examples:
  tiefsee bench                                       the bundled model
  tiefsee bench ./model -p 512 -n 128 -d 0,2048       a prompt and an answer, at two depths
  tiefsee bench ./model -p 0 -n 32 --json             only generation, for programs
  tiefsee bench ./model --json > before.json          and later, after a change:
  tiefsee bench ./model --compare before.json         what became faster, and what slower
  tiefsee bench ./model --roofline run.svg            a picture of how near kernels are to the device's limits
  tiefsee bench ./folder-with-config --random-weights a model without its weights
  tiefsee bench --ops                                 each kernel, checked and then timed
  tiefsee bench --products                            products of matrices in f32

pp512 reads a prompt of 512 tokens, tg128 generates 128, both behind as many tokens as @ d says.";

/// Measure tokens per second
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model: demo, a folder with config.json and safetensors files, or a GGUF file
    #[arg(default_value = "demo")]
    model: String,
    /// Tokens of prompts; 0 for none
    #[arg(
        short = 'p',
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "512"
    )]
    prompt: Vec<usize>,
    /// Tokens to generate; 0 for none
    #[arg(
        short = 'n',
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "128"
    )]
    generate: Vec<usize>,
    /// Tokens that are in the cache already
    #[arg(
        short = 'd',
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0"
    )]
    depth: Vec<usize>,
    /// Times that each test is run, after a run that does not count
    #[arg(short = 'r', long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
    #[command(flatten)]
    format: FormatArguments,
    /// Tokens of a sequence; may be more than the model was made for [default: what the model allows]
    #[arg(long, value_name = "N")]
    ctx: Option<NonZeroUsize>,
    /// Make weights up: config.json is enough
    #[arg(long)]
    random_weights: bool,
    /// Time each kernel alone, in place of a model
    #[arg(long, conflicts_with_all = ["products", "compare", "roofline", "watts"])]
    ops: bool,
    /// Time products of matrices in f32, in place of a model: rows, columns and what is summed over
    #[arg(
        long,
        value_name = "MxNxK,..",
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = products::SIZES,
        value_parser = products::size,
        conflicts_with_all = ["compare", "roofline", "watts"]
    )]
    products: Option<Vec<products::Size>>,
    /// Compare with an earlier run, whose JSON is in FILE
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Draw each test's kernels under the device's limits, an SVG
    #[arg(long, value_name = "FILE")]
    roofline: Option<PathBuf>,
    /// Overwrite the picture
    #[arg(long, requires = "roofline")]
    force: bool,
    /// What the machine draws, for the cost of a million tokens
    #[arg(long, value_name = "W", requires = "price_per_kwh", value_parser = cost::positive)]
    watts: Option<f64>,
    /// What a kilowatt hour costs, in dollars to compare with DeepSeek's price
    #[arg(long, value_name = "P", requires = "watts", value_parser = cost::positive)]
    price_per_kwh: Option<f64>,
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    tune: TuneArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

impl Arguments {
    fn price(&self) -> Option<Price> {
        let (watts, per_kwh) = self.watts.zip(self.price_per_kwh)?;
        Some(Price { watts, per_kwh })
    }
}

/// Measures and prints.
///
/// # Errors
/// Whatever loading and running fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (device, format) = (&arguments.device, arguments.format.format());
    let right = if arguments.ops {
        pollster::block_on(ops::run(device, format))?
    } else if let Some(sizes) = &arguments.products {
        let repetitions = arguments.repetitions.get();
        pollster::block_on(products::run(device, sizes, repetitions, format))?
    } else {
        run_model(arguments)?;
        true
    };
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_model(arguments: &Arguments) -> Result<()> {
    let launched = Instant::now();
    // What could fail at the end should fail before anything slow happens.
    let earlier = arguments
        .compare
        .as_deref()
        .map(Earlier::read)
        .transpose()?;
    if let Some(file) = &arguments.roofline {
        if !arguments.force {
            output::check_file(file, "--force")?;
        }
        output::check_folder(file)?;
    }
    let report = pollster::block_on(bench(arguments, launched))?;
    let comparison = earlier.map(|earlier| Comparison::new(&earlier, &report));
    for difference in comparison.iter().flat_map(Comparison::differences) {
        output::note(&format!("the runs differ: {difference}"));
    }
    output::write(&report.text(arguments.format.format(), comparison.as_ref()))?;
    if let Some(file) = &arguments.roofline {
        let picture = report.roofline();
        output::write_file(file, |part| {
            std::fs::write(part, picture).map_err(|source| tiefsee::Error::Io {
                path: part.to_owned(),
                source,
            })
        })?;
    }
    Ok(())
}

async fn bench(arguments: &Arguments, launched: Instant) -> Result<Report> {
    let checkpoint = if arguments.random_weights {
        let weights = random::RandomWeights::open(&arguments.model).await?;
        Checkpoint::open(Rc::new(weights)).await?
    } else {
        arguments.read.open(&arguments.model).await?
    };
    let shape = (architecture(&checkpoint)?.shape)(&checkpoint)?;
    let (tests, left_out) = tests::tests(arguments, shape.context)?;
    let quantize = arguments.read.format()?;
    let kind = arguments.cache.kind()?;
    let opened = Cell::new(None);
    let (Proven { gpu, disabled }, model) = load(arguments, &checkpoint, quantize, &opened).await?;
    let loaded = launched.elapsed().as_secs_f64();
    let device = opened
        .get()
        .map_or(loaded, |at: Instant| (at - launched).as_secs_f64());
    arguments.device.warn(gpu.adapter(), &disabled);

    let weight_bytes = model.token_bytes();
    let context = tests.iter().map(Test::end).max().unwrap_or(1);
    let blocks = context.div_ceil(BLOCK);
    let mut runner = Runner::new(Rc::clone(&gpu), model, context, blocks, kind).await?;
    tune(&mut runner, arguments.tune.when()).await?;
    let mut bench = Bench::new(runner, weight_bytes);
    let prompt_tokens = FIRST_PROMPT.min(context);
    let cold_prompt = bench.prompt(prompt_tokens).await?.as_secs_f64();
    let start = Start {
        device,
        load: loaded - device,
        prompt_tokens,
        first_token: launched.elapsed().as_secs_f64(),
        cold_prompt,
        warm_prompt: bench.prompt(prompt_tokens).await?.as_secs_f64(),
    };
    let roof = Roof::measure(&gpu).await?;
    let mut rows = Vec::new();
    for test in &tests {
        rows.push(bench.run(test, arguments.repetitions.get()).await?);
    }
    Ok(Report {
        model: arguments.model.clone(),
        stored_bytes: checkpoint.bytes(),
        quantize: quantize.map(|format| format.name),
        cache_type: kind.name,
        adapter: gpu.adapter().clone(),
        tiers: gpu.tiers,
        layers: shape.layers,
        weight_bytes,
        roof,
        start,
        price: arguments.price(),
        left_out,
        rows,
    })
}

/// Loads the model, and takes note of when its first bytes come.
async fn load(
    arguments: &Arguments,
    checkpoint: &Checkpoint,
    quantize: Option<&'static Format>,
    opened: &Cell<Option<Instant>>,
) -> Result<(Proven, Box<dyn Model>)> {
    let progress = LoadReport::new(&arguments.model);
    let update = |loaded| {
        if opened.get().is_none() {
            opened.set(Some(Instant::now()));
        }
        progress.update(loaded);
    };
    let device = arguments.device.options();
    let kind = arguments.cache.kind()?;
    let weights = WeightOptions {
        quantize,
        prediction: false,
    };
    let loaded = load_model(checkpoint, &device, weights, kind, &update).await;
    progress.finish();
    loaded
}

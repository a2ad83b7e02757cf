//! `tiefsee bench`: tokens per second in llama-bench's words, and each kernel's own speed.
//!
//! Runs token ids without tokenizer or sampling, so it needs no more than config.json and weights.

mod measure;
mod ops;
mod random;
mod report;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;

use tiefsee::checkpoint::Checkpoint;
use tiefsee::engine::{BLOCK, Runner};
use tiefsee::llm::load_model;
use tiefsee::models::{ModelShape, architecture};
use tiefsee::selftest::{Proven, read_bandwidth};
use tiefsee::{Error, Result};

use super::common::{CacheArguments, DeviceArguments, ReadArguments};
use super::output;
use super::progress::LoadReport;
use measure::{Bench, Test};
use report::Report;

const EXAMPLES: &str = "\
Examples:
  tiefsee bench                                       the bundled model
  tiefsee bench ./model -p 512 -n 128 -d 0,2048       a prompt and an answer, at two depths
  tiefsee bench ./model -p 0 -n 32 -o json            only generation, for programs
  tiefsee bench ./folder-with-config --random-weights a model without its weights
  tiefsee bench --ops                                 each kernel, checked and then timed

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
    /// How results are written
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "md"
    )]
    output: report::Format,
    /// Tokens of a sequence; may be more than the model was made for [default: what the model allows]
    #[arg(long, value_name = "N")]
    ctx: Option<NonZeroUsize>,
    /// Make weights up: config.json is enough
    #[arg(long)]
    random_weights: bool,
    /// Time each kernel alone, in place of a model
    #[arg(long)]
    ops: bool,
    #[command(flatten)]
    read: ReadArguments,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Measures and prints.
///
/// # Errors
/// Whatever loading and running fail with.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.ops {
        let right = pollster::block_on(ops::run(&arguments.device, arguments.output))?;
        return Ok(if right {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let report = pollster::block_on(bench(arguments))?;
    output::write(&report.text(arguments.output))?;
    Ok(ExitCode::SUCCESS)
}

async fn bench(arguments: &Arguments) -> Result<Report> {
    let checkpoint = if arguments.random_weights {
        Checkpoint::open(Rc::new(
            random::RandomWeights::open(&arguments.model).await?,
        ))
        .await?
    } else {
        arguments.read.open(&arguments.model).await?
    };
    let shape = (architecture(&checkpoint)?.shape)(&checkpoint)?;
    let (tests, left_out) = tests(arguments, &shape)?;
    let quantize = arguments.read.format()?;
    let kind = arguments.cache.kind()?;
    let progress = LoadReport::new(&arguments.model);
    let update = |loaded| progress.update(loaded);
    let loaded = load_model(&checkpoint, &arguments.device.options(), quantize, &update).await;
    progress.finish();
    let (Proven { gpu, disabled }, model) = loaded?;
    arguments.device.warn(gpu.adapter(), &disabled);

    let bandwidth = read_bandwidth(&gpu).await?;
    let weight_bytes = model.token_bytes();
    let context = tests.iter().map(Test::end).max().unwrap_or(1);
    let blocks = context.div_ceil(BLOCK);
    let runner = Runner::new(Rc::clone(&gpu), model, context, blocks, kind).await?;
    let mut bench = Bench::new(runner, weight_bytes);
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
        bandwidth,
        left_out,
        rows,
    })
}

/// The tests that fit the context, and the names of those that do not.
fn tests(arguments: &Arguments, shape: &ModelShape) -> Result<(Vec<Test>, Vec<String>)> {
    let limit = arguments.ctx.map_or(shape.context, NonZeroUsize::get);
    let mut depths = arguments.depth.clone();
    depths.sort_unstable();
    depths.dedup();
    let of_depth = |&depth: &usize| {
        let prompts = arguments.prompt.iter().map(move |&tokens| Test {
            tokens,
            depth,
            generates: false,
        });
        let answers = arguments.generate.iter().map(move |&tokens| Test {
            tokens,
            depth,
            generates: true,
        });
        prompts
            .chain(answers)
            .filter(|test| test.tokens > 0)
            .collect::<Vec<_>>()
    };
    let all = depths.iter().flat_map(of_depth);
    let (tests, too_long): (Vec<Test>, Vec<Test>) = all.partition(|test| test.end() <= limit);
    let left_out: Vec<String> = too_long.iter().map(Test::name).collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        output::note(&format!(
            "left out, being longer than the context of {limit} tokens (--ctx): {names}"
        ));
    }
    if tests.is_empty() {
        return Err(Error::Usage("there is nothing to measure".into()));
    }
    Ok((tests, left_out))
}

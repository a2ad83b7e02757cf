//! `tiefsee plan`: what a model takes of a device's memory, and what to change if that is too much.

use indicatif::BinaryBytes;
use serde_json::{Value, json};
use tiefsee::checkpoint::Checkpoint;
use tiefsee::formats;
use tiefsee::gpu::cache;
use tiefsee::llm::{Plan, open_source};
use tiefsee::{Error, LoadOptions, Result};

use super::common::ModelArguments;
use super::output;

const EXAMPLES: &str = "\
Examples:
  tiefsee plan ./model
  tiefsee plan ./model --ctx 32768 --quantize q8_0 --memory 24GiB
  tiefsee plan ./model --json | jq .total

Reads headers only, and needs no memory of the device. wgpu does not tell how much a device has: software adapters
have the machine's, for others say it with --memory. Exit status 6 if the model does not fit.";

/// Tell what a model takes of the device's memory, and the largest context that fits
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// What the device has: bytes, or a number with KiB, MiB or GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Print an object
    #[arg(long)]
    json: bool,
}

fn parse_bytes(text: &str) -> std::result::Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(unit));
    let (number, shift) = unit.map_or((text, 0), |(unit, shift)| {
        (text[..text.len() - unit.len()].trim_end(), *shift)
    });
    let number: f64 = number
        .parse()
        .map_err(|_| "no number of bytes, such as 24GiB")?;
    let bytes =
        number * f64::from(1 << (shift % 30)) * if shift < 30 { 1.0 } else { f64::from(1 << 30) };
    if (1.0..=1e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("not between 1 byte and an exabyte".into())
    }
}

/// Prints the table.
///
/// # Errors
/// [`Error::DoesNotFit`] if the model does not fit; those of reading headers and of writing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = arguments.model.load_options()?;
    let model = &arguments.model.model;
    let Plans {
        plan,
        memory,
        smaller,
    } = pollster::block_on(Plans::of(model, &options, arguments.memory))?;
    if arguments.json {
        output::write_line(&format!("{:#}", object(arguments, &plan, memory)))?;
    } else {
        output::write(&table(&plan, memory, &smaller))?;
    }
    if plan.fits(memory) {
        return Ok(());
    }
    let needs = BinaryBytes(plan.total());
    Err(Error::DoesNotFit(format!(
        "{} needs {needs} with a context of {} tokens",
        arguments.model.model, plan.context
    )))
}

/// The table of a model that did not fit when it was loaded.
///
/// # Errors
/// As of [`run`].
pub(crate) fn refusal(model: &str, options: &LoadOptions) -> Result<String> {
    let plans = pollster::block_on(Plans::of(model, options, None))?;
    Ok(table(&plans.plan, plans.memory, &plans.smaller))
}

/// A plan, what the device has, and, if that is too little, plans with options that take less.
struct Plans {
    plan: Plan,
    memory: Option<u64>,
    smaller: Vec<(String, Plan)>,
}

impl Plans {
    async fn of(model: &str, options: &LoadOptions, memory: Option<u64>) -> Result<Self> {
        let checkpoint = Checkpoint::open(open_source(model)?).await?;
        let plan = Plan::of(&checkpoint, options).await?;
        let memory = memory.or_else(|| known_memory(&plan));
        let smaller = if plan.fits(memory) {
            Vec::new()
        } else {
            smaller(&checkpoint, options, &plan).await?
        };
        Ok(Self {
            plan,
            memory,
            smaller,
        })
    }
}

async fn smaller(
    checkpoint: &Checkpoint,
    options: &LoadOptions,
    plan: &Plan,
) -> Result<Vec<(String, Plan)>> {
    let mut smaller = Vec::new();
    let caches = [&cache::F16, &cache::Q8_0].map(|kind| {
        let mut options = options.clone();
        options.cache_type = kind;
        (format!("--cache-type {}", kind.name), options)
    });
    let packed = [&formats::Q8_0, &formats::Q6_K, &formats::Q4_K].map(|format| {
        let mut options = options.clone();
        options.quantize = Some(format);
        (format!("--quantize {}", format.name), options)
    });
    for (option, options) in caches.into_iter().chain(packed) {
        let other = Plan::of(checkpoint, &options).await?;
        if other.total() < plan.total() {
            smaller.push((option, other));
        }
    }
    Ok(smaller)
}

/// What the device has: of software adapters the memory that the system has left.
fn known_memory(plan: &Plan) -> Option<u64> {
    if !plan.adapter.is_software() {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

fn table(plan: &Plan, memory: Option<u64>, smaller: &[(String, Plan)]) -> String {
    let bytes = |bytes| BinaryBytes(bytes).to_string();
    let formats: Vec<_> = plan
        .weights
        .iter()
        .map(|(name, size)| format!("{name} {}", bytes(*size)))
        .collect();
    let weights = plan.weights.values().sum();
    let mut text = String::new();
    let mut line = |name: &str, size: String, what: String| {
        text += format!("{name:<10}{size:>12}  {what}").trim_end();
        text.push('\n');
    };
    line("weights", bytes(weights), formats.join(", "));
    line("vectors", bytes(plan.vectors), "norms and biases".into());
    let each = bytes(plan.cache_per_token);
    let cache = format!("{} tokens, {each} each", plan.context);
    line("cache", bytes(plan.cache), cache);
    line(
        "scratch",
        bytes(plan.scratch),
        "activations and staging".into(),
    );
    line("total", bytes(plan.total()), String::new());
    let adapter = &plan.adapter;
    let device = format!("{} ({})", adapter.info.name, adapter.kind());
    line("memory", memory.map_or("unknown".into(), bytes), device);
    let largest = plan.largest_context(memory);
    let limit = if largest == plan.longest {
        "the most that the model and the device's bindings allow"
    } else {
        "the most that fits"
    };
    line("context", format!("{largest}"), limit.into());
    if plan.fits(memory) {
        return text;
    }
    line("", String::new(), String::new());
    if largest > 0 {
        line("fits", format!("--ctx {largest}"), String::new());
    }
    for (option, packed) in smaller {
        let context = packed.largest_context(memory);
        let what = match context {
            0 => "not even then".to_owned(),
            context if context < plan.context => format!("with --ctx {context}"),
            _ => "fits".to_owned(),
        };
        line(
            &format!("{option:<18}"),
            String::new(),
            format!("{}, {what}", bytes(packed.total())),
        );
    }
    text
}

fn object(arguments: &Arguments, plan: &Plan, memory: Option<u64>) -> Value {
    json!({
        "model": arguments.model.model, "device": plan.adapter.info.name, "quantize": arguments.model.read.quantize,
        "weights": plan.weights, "vectors": plan.vectors, "cache": plan.cache, "cache_per_token": plan.cache_per_token,
        "scratch": plan.scratch, "total": plan.total(), "context": plan.context, "memory": memory,
        "largest_context": plan.largest_context(memory), "fits": plan.fits(memory),
    })
}

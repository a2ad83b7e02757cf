//! Every kernel on a device against [`crate::reference`]: what start-up, `doctor` and `bench --ops` trust.
//!
//! Inputs are noise with edge cases among it, the same on every machine. Never runs a model.

mod attention;
mod context;
mod experts;
mod heads;
mod indexer;
mod lanes;
mod latents;
mod loads;
mod matrix;
mod roof;
mod rows;
mod tiers;
mod trial;
mod weights;

use web_time::Duration;

use crate::error::Result;
use crate::formats;
use crate::gpu::{Gpu, Pass};

pub use roof::Roof;
pub use tiers::{Proven, check_tiers, prove_tiers, prove_tiers_of};

use trial::{Attempt, Sizes, Trial, attempt};
use weights::Weights;

/// A kernel's result next to what it should be.
#[derive(Clone, Debug)]
pub struct Check {
    /// The kernel.
    pub kernel: &'static str,
    /// The format of the weight that it read, if it read one, or the type of the cache that it
    /// read or wrote, if not f32.
    pub format: Option<&'static str>,
    /// The worst deviation, relative to the largest expected value; infinite for what is no
    /// number or a wrong index, and if the kernel did not run.
    pub error: f64,
    /// The largest error that rounding explains.
    pub tolerance: f64,
    /// Whether the error is within the tolerance.
    pub passed: bool,
    /// What the driver said, if the kernel did not run.
    pub fault: Option<String>,
}

/// A kernel's speed at a size that models have.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Whether the result that was timed is right.
    pub check: Check,
    /// How long a launch takes.
    pub took: Duration,
    /// Bytes that must be read and written.
    pub bytes: u64,
    /// Additions and multiplications of numbers.
    pub operations: u64,
}

type Plain = fn(&mut Pass, &Sizes) -> Trial;
type Weighted = fn(&mut Pass, &Sizes, &Weights) -> Trial;

const PLAIN: &[Plain] = &[
    lanes::part_of_subgroup,
    lanes::subgroup,
    lanes::workgroup,
    loads::halves,
    loads::wide,
    roof::copy,
    roof::multiply_add,
    rows::rms_norm,
    rows::swiglu,
    rows::argmax,
    rows::draw,
    rows::gather,
    rows::fill_ids,
    rows::pad,
    rows::combine,
    attention::rope,
    attention::store_latent,
    attention::latent_attention,
    attention::latent_attention_in_splits,
    attention::latent_attention_of_short_rows,
    attention::latent_attention_over_f16,
    attention::latent_attention_over_q8_0,
    heads::store_heads,
    heads::store_heads_with_all,
    heads::grouped_attention,
    heads::grouped_attention_in_splits,
    heads::grouped_attention_over_f16,
    heads::grouped_attention_over_q8_0,
    indexer::store_index,
    indexer::index_scores,
    indexer::index_scores_over_f16,
    indexer::index_scores_over_q8_0,
    indexer::select_keys,
    context::pack_rows_to_f16,
    context::pack_rows_to_q8_0,
];

/// Those of devices that exchange registers, eight lanes at a time: others have no kernel of their own for it.
const EIGHT: &[Plain] = &[
    attention::latent_attention_of_many_heads,
    attention::latent_attention_of_many_heads_over_f16,
    attention::latent_attention_of_many_heads_over_q8_0,
];

const ROUTING: &[Plain] = &[
    experts::route_softmax,
    experts::route_sigmoid,
    experts::group_by_expert,
];

const WEIGHTED: &[Weighted] = &[
    weights::embedding,
    weights::matmul,
    weights::matmul_normed_and_added,
    weights::gate_up,
    weights::matmul_few_rows,
    weights::matmul_blocked,
    weights::matmul_heads,
    weights::matmul_heads_blocked,
    latents::absorb_query,
    latents::merge_heads,
    experts::expert_gate_up,
    experts::expert_down,
    experts::expert_gate_up_grouped,
    experts::expert_matmul,
];

/// Those of devices with matrix units.
const UNITS: &[Plain] = &[matrix::units, matrix::operands, matrix::expert_operands];

const WEIGHTED_UNITS: &[Weighted] = &[weights::matmul_matrix, experts::expert_matrix];

/// Runs every kernel once, those that read weights in every format, and tells `tell` of each.
///
/// # Errors
/// For a lost device and one without memory; a kernel that fails otherwise is a failed check.
pub async fn run(gpu: &Gpu, tell: &mut dyn FnMut(&Check)) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let keep = async |attempt: Attempt| {
        tell(&attempt.check);
        checks.push(attempt.check);
        Ok(())
    };
    each(gpu, &Sizes::EDGES, keep).await?;
    Ok(checks)
}

/// Checks every kernel at a size that models have, then times it, and tells `tell` of each.
///
/// # Errors
/// As [`run`].
pub async fn measure(gpu: &Gpu, tell: &mut dyn FnMut(Timing)) -> Result<()> {
    let time = async |attempt: Attempt| {
        let took = attempt.time(gpu).await?;
        let Attempt {
            check,
            bytes,
            operations,
            ..
        } = attempt;
        tell(Timing {
            check,
            took,
            bytes,
            operations,
        });
        Ok(())
    };
    each(gpu, &Sizes::MODEL, time).await
}

async fn each(
    gpu: &Gpu,
    sizes: &Sizes,
    mut then: impl AsyncFnMut(Attempt) -> Result<()>,
) -> Result<()> {
    let has_units = gpu.tiers.units().is_some();
    let exchanges = gpu.tiers.exchanges_eight();
    let plain = PLAIN.iter().chain(EIGHT.iter().filter(|_| exchanges));
    let plain = plain.chain(ROUTING);
    for build in plain.chain(UNITS.iter().filter(|_| has_units)) {
        then(attempt(gpu, |pass| build(pass, sizes)).await?).await?;
    }
    for &format in formats::ALL {
        let weights = Weights::new(gpu, format, sizes).await?;
        let units = WEIGHTED_UNITS.iter().filter(|_| has_units);
        for build in WEIGHTED.iter().chain(units) {
            then(attempt(gpu, |pass| build(pass, sizes, &weights)).await?).await?;
        }
    }
    Ok(())
}

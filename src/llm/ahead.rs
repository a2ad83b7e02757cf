//! Kernels are compiled while weights are loaded: a rehearsal on a device that only counts tells which.

use std::rc::Rc;

use super::STEP_TOKENS;
use super::plan::{count, record};
use crate::checkpoint::Checkpoint;
use crate::engine::{BLOCK, Runner};
use crate::error::Result;
use crate::gpu::{CacheType, Gpu};
use crate::models::WeightOptions;

/// Begins to compile what a prompt and an answer take with a cache of rows of a `kind`.
///
/// # Errors
/// Where the platform has no device that only counts, and those of checking the checkpoint.
pub(super) async fn compile(
    gpu: &Gpu,
    checkpoint: &Checkpoint,
    weights: WeightOptions,
    kind: &'static CacheType,
) -> Result<()> {
    let rehearsal = gpu.rehearsal().await?;
    let model = count(&rehearsal, checkpoint, weights).await?;
    let blocks = STEP_TOKENS.div_ceil(BLOCK);
    let mut runner = Runner::new(Rc::clone(&rehearsal), model, STEP_TOKENS, blocks, kind).await?;
    record(&mut runner, 1, STEP_TOKENS);
    gpu.compile_ahead(&rehearsal);
    Ok(())
}

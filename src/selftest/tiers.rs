//! Optional features are used only where they compute what they should.

use std::rc::Rc;

use super::trial::{Sizes, attempt};
use super::{Check, Plain, lanes, loads};
use crate::error::Result;
use crate::gpu::{DeviceOptions, Gpu, Tiers};

/// A device of which every feature in use was seen to work.
pub struct Proven {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// A sentence for each feature that was left out because it did not work.
    pub disabled: Vec<String>,
}

/// An optional feature.
struct Tier {
    name: &'static str,
    is_on: fn(Tiers) -> bool,
    turn_off: fn(&mut DeviceOptions),
    /// What calls the functions that the device has for it.
    kernels: &'static [Plain],
}

const SUBGROUPS: Tier = Tier {
    name: "subgroups",
    is_on: |tiers| tiers.subgroup_size > 0,
    turn_off: |options| options.no_subgroups = true,
    kernels: &[lanes::part_of_subgroup, lanes::subgroup, lanes::workgroup],
};
const HALVES: Tier = Tier {
    name: "f16",
    is_on: |tiers| tiers.f16,
    turn_off: |options| options.no_f16 = true,
    kernels: &[loads::halves],
};
const INT64: Tier = Tier {
    name: "64-bit integers",
    is_on: |tiers| tiers.int64,
    turn_off: |options| options.no_int64 = true,
    kernels: &[loads::wide],
};
const TIERS: [&Tier; 3] = [&SUBGROUPS, &HALVES, &INT64];

/// Opens the device that `options` names, with those of its optional features that work.
///
/// # Errors
/// As [`Gpu::open`]; a feature that fails is no error.
pub async fn prove_tiers(options: &DeviceOptions) -> Result<Proven> {
    prove_tiers_of(options, async |options| Gpu::open(options).await).await
}

/// [`prove_tiers`] of what `open` opens, with the features that its options leave on.
///
/// # Errors
/// As `open`.
pub async fn prove_tiers_of(
    options: &DeviceOptions,
    open: impl AsyncFn(&DeviceOptions) -> Result<Rc<Gpu>>,
) -> Result<Proven> {
    let mut options = options.clone();
    let mut disabled = Vec::new();
    loop {
        let gpu = open(&options).await?;
        let Some((tier, why)) = broken(&gpu).await else {
            return Ok(Proven { gpu, disabled });
        };
        disabled.push(format!(
            "{} of {} is not used: {why}",
            tier.name,
            gpu.adapter().info.name
        ));
        (tier.turn_off)(&mut options);
    }
}

/// The first feature that does not work, and how that was seen.
async fn broken(gpu: &Gpu) -> Option<(&'static Tier, String)> {
    for tier in TIERS {
        let why = match check_tier(gpu, tier).await {
            Ok(checks) => checks
                .into_iter()
                .find(|check| !check.passed)
                .map(|check| describe(&check)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            return Some((tier, why));
        }
    }
    None
}

fn describe(check: &Check) -> String {
    let kernel = check.kernel;
    match &check.fault {
        Some(fault) => format!(
            "{kernel} does not run, {}",
            fault.lines().next().unwrap_or_default()
        ),
        None => format!("{kernel} gives wrong results"),
    }
}

/// Checks the optional features in use, and nothing that needs none.
///
/// # Errors
/// Those that concern the device.
pub async fn check_tiers(gpu: &Gpu) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for tier in TIERS {
        checks.extend(check_tier(gpu, tier).await?);
    }
    Ok(checks)
}

async fn check_tier(gpu: &Gpu, tier: &Tier) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    if (tier.is_on)(gpu.tiers) {
        for build in tier.kernels {
            checks.push(attempt(gpu, |pass| build(pass, &Sizes::EDGES)).await?.check);
        }
    }
    Ok(checks)
}

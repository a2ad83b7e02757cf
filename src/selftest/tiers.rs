//! Optional features are used only where they compute what they should.

use std::rc::Rc;

use super::trial::{Sizes, attempt};
use super::{Check, Plain, lanes, loads, matrix};
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
const MATRIX: Tier = Tier {
    name: "matrix units",
    // Software adapters have them, but no op uses them there.
    is_on: |tiers| tiers.units().is_some() && !tiers.software,
    turn_off: |options| options.no_matrix = true,
    kernels: &[matrix::units, matrix::operands],
};
// Matrix units need subgroups and f16: if those do not work, they are not used either.
const TIERS: [&Tier; 4] = [&SUBGROUPS, &HALVES, &INT64, &MATRIX];

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

/// The first feature that does not work, and how that was seen. What an earlier run saw with the same driver is
/// not tried again.
async fn broken(gpu: &Gpu) -> Option<(&'static Tier, String)> {
    for tier in TIERS.into_iter().filter(|tier| (tier.is_on)(gpu.tiers)) {
        let feature = match gpu.tiers.subgroup_size {
            size if std::ptr::eq(tier, &SUBGROUPS) => format!("{} of {size}", tier.name),
            _ => tier.name.to_owned(),
        };
        let fault = match gpu.known_fault(&feature) {
            Some(known) => known,
            None => match check_tier(gpu, tier).await {
                Ok(checks) => {
                    let failed = checks.iter().find(|check| !check.passed);
                    let fault = failed.map(describe);
                    gpu.note_fault(&feature, fault.clone());
                    fault
                }
                // Such as a lost device, which says little of the feature.
                Err(error) => Some(error.to_string()),
            },
        };
        if let Some(why) = fault {
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
        None => format!("{kernel} gives wrong results, off by {:.1e}", check.error),
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

//! Which adapters there are, which can run tiefsee, and which one to take.

use std::rc::Rc;

use super::{MatrixUnit, Store};
use crate::error::{Error, Result};

/// What a user asks of the device.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a feature of its own"
)]
pub struct DeviceOptions {
    /// The adapter's number, a part of its name, or `cpu`; the best one if `None`.
    pub device: Option<String>,
    /// Leave subgroup operations unused.
    pub no_subgroups: bool,
    /// Leave 16-bit floats unused.
    pub no_f16: bool,
    /// Leave matrix units unused.
    pub no_matrix: bool,
    /// Leave 64-bit integers unused.
    pub no_int64: bool,
    /// Where to keep what was learnt of the adapter and compiled for it; nothing is kept if `None`.
    pub store: Option<Rc<dyn Store>>,
}

impl DeviceOptions {
    /// The features of an adapter that are to be used.
    pub(super) fn tiers(&self, report: &AdapterReport) -> Tiers {
        let mut tiers = report.tiers;
        if self.no_subgroups {
            (tiers.subgroup_size, tiers.widest_subgroup) = (0, 0);
        }
        tiers.f16 &= !self.no_f16;
        // Kernels know their part of the work by the number of their subgroup, and have four subgroups.
        let subgroups = (1..=64).contains(&tiers.widest_subgroup);
        let usable = |unit: &MatrixUnit| subgroups && (tiers.f16 || !unit.is_f16());
        tiers.matrix = tiers.matrix.filter(usable).filter(|_| !self.no_matrix);
        tiers.int64 &= !self.no_int64;
        tiers
    }
}

/// An adapter as `doctor` lists it.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// Its number for `--device`.
    pub number: usize,
    /// Name, driver, kind and back end as the driver gives them.
    pub info: wgpu::AdapterInfo,
    /// What the adapter allows.
    pub limits: wgpu::Limits,
    /// The optional features that tiefsee can use.
    pub tiers: Tiers,
    /// Why it cannot run tiefsee, if it cannot.
    pub refused: Option<String>,
}

impl AdapterReport {
    /// Whether the adapter is a processor that pretends to be a GPU.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The kind of hardware, in a user's words.
    pub fn kind(&self) -> &'static str {
        match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        }
    }
}

/// The optional features in use; the baseline needs none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiers {
    /// Lanes of the narrowest subgroup; 0 without subgroups.
    pub subgroup_size: u32,
    /// Lanes of the widest subgroup; 0 without subgroups.
    pub widest_subgroup: u32,
    /// Shaders may use 16-bit floats.
    pub f16: bool,
    /// Shaders may use these matrix units.
    pub matrix: Option<MatrixUnit>,
    /// Shaders may use 64-bit integers, and loads of them are worth it: on software adapters only.
    pub int64: bool,
    /// The adapter is a processor: barriers are dear, so reductions stay in a thread.
    pub software: bool,
}

impl Tiers {
    /// Whether lanes exchange registers, eight at a time, for less than a load costs. Known to be false in browsers,
    /// so that kernels for it need not be downloaded.
    pub fn exchanges_eight(self) -> bool {
        !super::BROWSER && self.software && self.subgroup_size == 8
    }

    /// The matrix units that shaders may use. Known to be none in browsers, too.
    pub fn units(self) -> Option<MatrixUnit> {
        self.matrix.filter(|_| !super::BROWSER)
    }
}

/// Smallest limits that every kernel works with: WebGPU's defaults.
fn refusal(limits: &wgpu::Limits) -> Option<String> {
    let needs = [
        (
            "storage buffers per stage",
            u64::from(limits.max_storage_buffers_per_shader_stage),
            8,
        ),
        (
            "bytes of a storage binding",
            limits.max_storage_buffer_binding_size,
            128 << 20,
        ),
        (
            "bytes of workgroup memory",
            u64::from(limits.max_compute_workgroup_storage_size),
            16 << 10,
        ),
        (
            "invocations per workgroup",
            u64::from(limits.max_compute_invocations_per_workgroup),
            256,
        ),
        (
            "workgroups per dimension",
            u64::from(limits.max_compute_workgroups_per_dimension),
            65_535,
        ),
    ];
    let (what, has, need) = needs.into_iter().find(|&(_, has, need)| has < need)?;
    Some(format!("it allows {has} {what}, tiefsee needs {need}"))
}

fn tiers(adapter: &wgpu::Adapter) -> Tiers {
    let (features, info) = (adapter.features(), adapter.get_info());
    let (narrowest, widest) = (info.subgroup_min_size, info.subgroup_max_size);
    // Kernels lay lanes out by the narrowest width, and whatever is a power of two is a multiple of it.
    let fitting = narrowest.is_power_of_two() && widest.is_power_of_two();
    let subgroups = features.contains(wgpu::Features::SUBGROUP)
        && fitting
        && narrowest <= widest
        && narrowest <= 64;
    let software = info.device_type == wgpu::DeviceType::Cpu;
    // Mesa 26's software driver offers units in subgroups that are not of 8, too, and then crashes.
    let matrix = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
        && if software {
            narrowest == 8
        } else {
            narrowest >= 8
        };
    Tiers {
        subgroup_size: if subgroups { narrowest } else { 0 },
        widest_subgroup: if subgroups { widest } else { 0 },
        f16: features.contains(wgpu::Features::SHADER_F16),
        matrix: MatrixUnit::of(adapter).next().filter(|_| matrix),
        int64: software && features.contains(wgpu::Features::SHADER_INT64),
        software,
    }
}

/// Discrete before integrated before virtual before software.
fn rank(kind: wgpu::DeviceType) -> usize {
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
    [DiscreteGpu, IntegratedGpu, VirtualGpu, Other, Cpu]
        .iter()
        .position(|&k| k == kind)
        .unwrap_or(5)
}

/// Every adapter, best first.
pub(super) async fn list(instance: &wgpu::Instance) -> Vec<(wgpu::Adapter, AdapterReport)> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // Browsers show one.
    if !super::BROWSER {
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    }
    let report = |(number, adapter): (usize, wgpu::Adapter)| {
        let limits = adapter.limits();
        let refused = refusal(&limits);
        let mut info = adapter.get_info();
        // Browsers keep names to themselves.
        if info.name.is_empty() {
            info.name = "the GPU".into();
        }
        let report = AdapterReport {
            number,
            info,
            tiers: tiers(&adapter),
            limits,
            refused,
        };
        (adapter, report)
    };
    adapters.into_iter().enumerate().map(report).collect()
}

/// The adapter that `wanted` names, or the best one.
pub(super) async fn choose(
    instance: &wgpu::Instance,
    wanted: Option<&str>,
) -> Result<(wgpu::Adapter, AdapterReport)> {
    let adapters = list(instance).await;
    let seen = adapters
        .iter()
        .map(|(_, report)| describe(report))
        .collect::<Vec<_>>();
    let matches = |report: &AdapterReport| match wanted {
        None => true,
        Some("cpu") => report.is_software(),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(number) => report.number == number,
            Err(_) => report
                .info
                .name
                .to_lowercase()
                .contains(&wanted.to_lowercase()),
        },
    };
    let found = adapters
        .into_iter()
        .find(|(_, report)| matches(report) && report.refused.is_none());
    found.ok_or_else(|| Error::NoAdapter(no_adapter(wanted, &seen)))
}

fn describe(report: &AdapterReport) -> String {
    let refused = report
        .refused
        .as_ref()
        .map_or(String::new(), |why| format!(": refused, {why}"));
    format!(
        "{}: {} ({}, {}){refused}",
        report.number,
        report.info.name,
        report.kind(),
        report.info.backend
    )
}

fn no_adapter(wanted: Option<&str>, seen: &[String]) -> String {
    if seen.is_empty() && super::BROWSER {
        return "the browser gives no WebGPU adapter".into();
    }
    if seen.is_empty() {
        return "no GPU driver was found. Install your card's Vulkan driver; for a processor, Mesa's software \
                driver does (Debian and Ubuntu: mesa-vulkan-drivers, Fedora: mesa-vulkan-drivers, Arch: \
                vulkan-swrast)"
            .into();
    }
    let what = wanted.map_or("no adapter can run tiefsee".into(), |name| {
        format!("no usable adapter is called {name:?}")
    });
    format!("{what}. Adapters: {}", seen.join("; "))
}

//! The self-test on this machine's device: it passes, it covers every kernel, and lies are caught.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;

use pollster::block_on;
use tiefsee::formats;
use tiefsee::gpu::{DeviceOptions, Gpu, Tiers, cache};
use tiefsee::selftest::{self, Check};

fn failed(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| !check.passed).collect()
}

/// The whole self-test in every layout, which takes a while and is run once.
fn checks_of_layouts() -> &'static [(Tiers, Vec<Check>)] {
    static CHECKS: OnceLock<Vec<(Tiers, Vec<Check>)>> = OnceLock::new();
    let of_layout = |gpu: &Rc<Gpu>| {
        let checks = block_on(selftest::run(gpu, &mut |_| ())).expect("a run");
        (gpu.tiers, checks)
    };
    CHECKS.get_or_init(|| common::layouts().iter().map(of_layout).collect())
}

/// The device with a subgroup size that may be a lie.
fn with_subgroup_size(options: &DeviceOptions, size: u32) -> Rc<Gpu> {
    with_subgroup_sizes(options, [size; 2])
}

/// The device with a narrowest and a widest subgroup that may be lies.
fn with_subgroup_sizes(options: &DeviceOptions, [narrowest, widest]: [u32; 2]) -> Rc<Gpu> {
    let mut gpu = block_on(Gpu::open(options)).expect("a device");
    let tiers = &mut Rc::get_mut(&mut gpu).expect("the only owner").tiers;
    (tiers.subgroup_size, tiers.widest_subgroup) = (narrowest, widest);
    gpu
}

#[test]
fn every_kernel_passes_in_every_layout() {
    for (tiers, checks) in checks_of_layouts() {
        assert!(
            failed(checks).is_empty(),
            "{tiers:?}: {:#?}",
            failed(checks)
        );
        // Rounding must not come near the tolerance, or other devices would fail.
        let close = checks
            .iter()
            .find(|check| check.error > check.tolerance / 4.0);
        assert!(close.is_none(), "{tiers:?}: {close:?}");
    }
}

#[test]
fn every_kernel_has_a_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut kernels: BTreeSet<String> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wgsl")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(kernels.len() > 15);
    let layouts = checks_of_layouts();
    let checks: Vec<_> = layouts.iter().flat_map(|(_, checks)| checks).collect();
    let checked: BTreeSet<String> = checks.iter().map(|check| check.kernel.to_owned()).collect();
    // Made for software adapters with subgroups of eight.
    if !layouts
        .iter()
        .any(|(tiers, _)| tiers.software && tiers.subgroup_size == 8)
    {
        kernels.remove("latent_attention_subgroup");
        kernels.remove("latent_attention_registers");
    }
    if layouts.iter().all(|(tiers, _)| tiers.matrix.is_none()) {
        kernels.retain(|kernel| {
            !["matri", "operands"]
                .iter()
                .any(|part| kernel.contains(part))
        });
    }
    assert_eq!(checked, kernels);
    for check in checks.iter().filter(|check| check.format.is_some()) {
        let file = format!("shaders/{}.wgsl", check.kernel);
        let wgsl = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        // A kernel that reads a weight is checked with each of them.
        let names: Vec<_> = if wgsl.contains("CacheWord") && !wgsl.contains("weight.") {
            let packed = cache::ALL.iter().filter(|kind| **kind != &cache::F32);
            packed.map(|kind| kind.name).collect()
        } else {
            formats::ALL.iter().map(|format| format.name).collect()
        };
        let count = |kernel: &str, name: &str| {
            let same = |other: &&&Check| other.kernel == kernel && other.format == Some(name);
            checks.iter().filter(same).count()
        };
        // Where a device binds too few buffers for `absorb_query`, the product that stands in makes one check more.
        let products =
            |name: &str| count("matmul_heads", name) + count("matmul_heads_blocked", name);
        let stands_in =
            |name: &str| check.kernel == "absorb_query" && products(name) > 2 * layouts.len();
        let checked = |name: &&str| count(check.kernel, name) > 0 || stands_in(name);
        assert!(names.iter().all(checked), "{}", check.kernel);
    }
}

#[test]
fn a_wrong_subgroup_size_is_caught() {
    let options = common::options();
    let gpu = common::open();
    let size = gpu.tiers.subgroup_size;
    let honest = block_on(selftest::check_tiers(&gpu)).expect("a run");
    assert!(failed(&honest).is_empty(), "{honest:#?}");
    assert_eq!(
        honest.iter().any(|check| check.kernel == "lanes_check"),
        size > 0
    );
    assert_eq!(
        honest.iter().any(|check| check.kernel == "halves_check"),
        gpu.tiers.f16
    );
    assert_eq!(
        honest.iter().any(|check| check.kernel == "wide_check"),
        gpu.tiers.int64
    );
    assert_eq!(
        honest.iter().any(|check| check.kernel == "matrix_check"),
        gpu.tiers.matrix.is_some() && !gpu.tiers.software
    );
    if size == 0 {
        return;
    }
    for lie in [size / 2, 2 * size] {
        let checks =
            block_on(selftest::check_tiers(&with_subgroup_size(&options, lie))).expect("a run");
        assert!(!failed(&checks).is_empty(), "{size} lanes taken for {lie}");
    }
}

/// As on a device that may choose among several: what it takes is at least the narrowest.
#[test]
fn subgroups_may_be_wider_than_the_narrowest() {
    let options = common::options();
    let size = common::open().tiers.subgroup_size;
    if size == 0 {
        return;
    }
    for sizes in [[size / 2, size], [size / 4, 2 * size], [1, 64], [size, 64]] {
        let mut gpu = with_subgroup_sizes(&options, sizes);
        for software in [true, false] {
            Rc::get_mut(&mut gpu)
                .expect("the only owner")
                .tiers
                .software = software;
            let checks = block_on(selftest::check_tiers(&gpu)).expect("a run");
            assert!(
                failed(&checks).is_empty(),
                "{sizes:?}: {:#?}",
                failed(&checks)
            );
        }
        if sizes == [size / 2, size] {
            let checks = block_on(selftest::run(&gpu, &mut |_| ())).expect("a run");
            assert!(
                failed(&checks).is_empty(),
                "{sizes:?}: {:#?}",
                failed(&checks)
            );
        }
    }
}

#[test]
fn a_tier_that_does_not_work_is_left_out_and_named() {
    let options = common::options();
    let size = common::open().tiers.subgroup_size;
    let open = async |options: &DeviceOptions| {
        Ok(with_subgroup_size(
            options,
            if options.no_subgroups { 0 } else { size / 2 },
        ))
    };
    let proven = block_on(selftest::prove_tiers_of(&options, open)).expect("a device");
    assert_eq!(proven.gpu.tiers.subgroup_size, 0);
    if size == 0 {
        assert!(proven.disabled.is_empty());
        return;
    }
    assert_eq!(proven.disabled.len(), 1, "{:?}", proven.disabled);
    assert!(
        proven.disabled[0].starts_with("subgroups of "),
        "{:?}",
        proven.disabled
    );
    let checks = block_on(selftest::run(&proven.gpu, &mut |_| ())).expect("a run");
    assert!(failed(&checks).is_empty(), "{:#?}", failed(&checks));
}

#[test]
fn a_device_that_works_keeps_its_tiers() {
    let options = common::options();
    let proven = block_on(selftest::prove_tiers(&options)).expect("a device");
    assert!(proven.disabled.is_empty(), "{:?}", proven.disabled);
    let software = common::open().tiers.software;
    let tiers = proven.gpu.tiers;
    assert_eq!(Tiers { software, ..tiers }, common::open().tiers);
}

#[test]
fn a_shader_that_does_not_compile_is_a_failed_check() {
    // 16-bit floats without the device's leave.
    let options = DeviceOptions {
        no_f16: true,
        ..common::options()
    };
    let mut gpu = block_on(Gpu::open(&options)).expect("a device");
    Rc::get_mut(&mut gpu).expect("the only owner").tiers.f16 = true;
    let checks = block_on(selftest::check_tiers(&gpu)).expect("a run");
    let halves = checks
        .iter()
        .find(|check| check.kernel == "halves_check")
        .expect("a check");
    assert!(!halves.passed && halves.fault.is_some(), "{halves:#?}");
}

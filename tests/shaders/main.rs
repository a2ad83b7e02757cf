//! Every kernel with every weight format: valid in every shading language, and by the rules of the house.

mod broken;
mod conventions;

use std::fs;
use std::path::Path;

use naga::back::pipeline_constants::process_overrides;
use naga::back::{PipelineConstants, hlsl, msl, spv, wgsl};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use tiefsee::formats::{self, Format};
use tiefsee::gpu::{Kernel, MatrixUnit, Tiers, cache};

/// The least and the most that a GPU can do, and what a software driver can do besides.
const TIERS: [Tiers; 3] = [
    Tiers {
        subgroup_size: 0,
        widest_subgroup: 0,
        f16: false,
        matrix: None,
        int64: false,
        software: false,
    },
    Tiers {
        subgroup_size: 8,
        widest_subgroup: 32,
        f16: true,
        matrix: None,
        int64: false,
        software: false,
    },
    Tiers {
        subgroup_size: 8,
        widest_subgroup: 32,
        f16: true,
        matrix: None,
        int64: true,
        software: true,
    },
];

/// The same with each kind of matrix units.
const MATRIX_TIERS: [Tiers; 3] = [
    Tiers {
        matrix: Some(MatrixUnit::F32x8),
        f16: false,
        ..TIERS[1]
    },
    Tiers {
        matrix: Some(MatrixUnit::F16x16),
        ..TIERS[1]
    },
    Tiers {
        matrix: Some(MatrixUnit::F16x8),
        ..TIERS[1]
    },
];

/// The tiers that a kernel is made for: all, but for the kernels that work inside a subgroup or with
/// matrix units.
fn tiers_of(kernel: &Kernel) -> &'static [Tiers] {
    if kernel.uses_units() {
        &MATRIX_TIERS
    } else if kernel.wgsl.contains("subgroupShuffle") {
        &TIERS[1..]
    } else {
        &TIERS
    }
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Names and texts of the WGSL files in a folder.
fn files(name: &str) -> Vec<(&'static str, &'static str)> {
    let paths = fs::read_dir(folder(name))
        .expect(name)
        .map(|file| file.expect(name).path());
    let paths = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "wgsl")
    });
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut files: Vec<_> = paths
        .map(|path| {
            let stem = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (leak(stem), leak(fs::read_to_string(&path).expect("a text")))
        })
        .collect();
    files.sort_unstable();
    files
}

fn kernels() -> Vec<Kernel> {
    let kernels: Vec<_> = files("shaders")
        .into_iter()
        .flat_map(|(name, wgsl)| variants(name, wgsl))
        .collect();
    assert!(kernels.len() >= 19, "{} kernels are found", kernels.len());
    kernels
}

/// The kernel, once for each type of cache that it may read or write.
fn variants(name: &'static str, wgsl: &'static str) -> Vec<Kernel> {
    let kernel = Kernel {
        name,
        wgsl,
        cache: None,
    };
    if wgsl.contains("CacheWord") {
        cache::ALL.iter().map(|kind| kernel.over(kind)).collect()
    } else {
        vec![kernel]
    }
}

/// What a kernel is linked with.
fn formats_of(kernel: &Kernel) -> Vec<Option<&'static Format>> {
    let reading = ["weight8(", "block_run(", "dots_partial(", "heads_product("];
    if reading.iter().any(|call| kernel.wgsl.contains(call)) {
        formats::ALL.iter().copied().map(Some).collect()
    } else {
        vec![None]
    }
}

/// What WebGPU promises of every device, but for kernels whose op has another way where a device has no more.
fn most_storage_buffers(kernel: &Kernel) -> usize {
    if kernel.name == "absorb_query" { 11 } else { 8 }
}

fn parse(text: &str) -> Result<Module, String> {
    naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))
}

fn validate(module: &Module, text: &str, tiers: Tiers) -> Result<ModuleInfo, String> {
    // unpack2x16float belongs to WebGPU's core, and wgpu's back ends have it everywhere.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, tiers.subgroup_size > 0);
    capabilities.set(Capabilities::SHADER_FLOAT16, tiers.f16);
    capabilities.set(Capabilities::SHADER_INT64, tiers.int64);
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, tiers.matrix.is_some());
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator
        .validate(module)
        .map_err(|error| error.emit_to_string(text))
}

/// The module with the defaults of its overrides, and what every back end makes of it.
fn translate(text: &str, tiers: Tiers) -> Result<Module, String> {
    let module = parse(text)?;
    let info = validate(&module, text, tiers)?;
    let entry = Some((ShaderStage::Compute, "main"));
    let (module, info) = process_overrides(&module, &info, entry, &PipelineConstants::default())
        .map_err(|error| format!("overrides: {error}"))?;

    spv::write_vec(&module, &info, &spv::Options::default(), None)
        .map_err(|error| format!("SPIR-V: {error}"))?;
    let metal = msl::Options {
        lang_version: (2, 4),
        ..Default::default()
    };
    msl::write_string(&module, &info, &metal, &msl::PipelineOptions::default())
        .map_err(|error| format!("MSL: {error}"))?;
    if tiers.matrix.is_none() {
        write_hlsl(&module, &info)?;
    }
    wgsl::write_string(&module, &info, wgsl::WriterFlags::empty())
        .map_err(|error| format!("WGSL: {error}"))?;
    Ok(module.into_owned())
}

/// DX12's language. wgpu gives DX12 no matrix units, and naga would panic on them.
fn write_hlsl(module: &Module, info: &ModuleInfo) -> Result<(), String> {
    let direct = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        ..Default::default()
    };
    hlsl::Writer::new(
        &mut String::new(),
        &direct,
        &hlsl::PipelineOptions::default(),
    )
    .write(module, info, None)
    .map(|_| ())
    .map_err(|error| format!("HLSL: {error}"))
}

#[test]
fn every_kernel_is_valid_everywhere() {
    for kernel in kernels() {
        for format in formats_of(&kernel) {
            for &tiers in tiers_of(&kernel) {
                let linked = kernel.link(format, tiers);
                if let Err(error) = translate(&linked, tiers) {
                    let format = format.map_or("no format", |format| format.name);
                    panic!("{} with {format} and {tiers:?}: {error}", kernel.name);
                }
            }
        }
    }
}

#[test]
fn tiers_are_used_where_they_help() {
    // Kernels that work inside a subgroup are chosen as a whole.
    for kernel in kernels()
        .into_iter()
        .filter(|kernel| tiers_of(kernel) == TIERS)
    {
        for format in formats_of(&kernel) {
            let [least, most, wide] = TIERS.map(|tiers| kernel.link(format, tiers));
            let own = [kernel.wgsl, format.map_or("", |format| format.wgsl)].concat();
            assert_eq!(
                wide.contains("u64"),
                least.contains("Wide"),
                "{}: u64",
                kernel.name
            );
            for (feature, helps) in [
                ("subgroupAdd(", least.contains("lanes_sum(")),
                ("<f16>", own.contains("Half")),
            ] {
                assert!(!least.contains(feature), "{}: {feature}", kernel.name);
                assert_eq!(most.contains(feature), helps, "{}: {feature}", kernel.name);
            }
        }
    }
}

#[test]
fn every_kernel_keeps_the_conventions() {
    for kernel in kernels() {
        for format in formats_of(&kernel) {
            let tiers = tiers_of(&kernel)[0];
            let linked = kernel.link(format, tiers);
            let module = parse(&linked).unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
            let resolved = translate(&linked, tiers).unwrap_or_else(|error| panic!("{error}"));
            let complaints = [
                conventions::of_text(kernel.wgsl),
                conventions::of_header(kernel.wgsl, &module),
                conventions::of_bindings(kernel.wgsl, &module),
                conventions::of_module(&module),
                conventions::of_resources(&resolved, most_storage_buffers(&kernel)),
            ];
            assert_eq!(complaints.concat(), [""; 0], "{}", kernel.name);
        }
    }
}

/// What a device multiplies with its matrix units is translated to what it calls them.
#[test]
fn matrix_units_are_what_the_device_has() {
    let units = kernels().into_iter().filter(Kernel::uses_units);
    assert_eq!(units.clone().count(), 5);
    for kernel in units {
        let multiplies = kernel.wgsl.contains("matrix_run(");
        for (tiers, kind) in
            MATRIX_TIERS
                .iter()
                .zip(["8x8<f32, A>", "16x16<f16, A>", "8x8<f16, A>"])
        {
            let linked = kernel.link(formats_of(&kernel)[0], *tiers);
            assert!(linked.contains(&format!("coop_mat{kind}")), "{kind}");
            assert_eq!(linked.contains("coopMultiplyAdd("), multiplies);
        }
    }
    let all: Vec<_> = MatrixUnit::ALL.iter().map(|unit| unit.wgsl()).collect();
    let mut listed: Vec<_> = files("shaders/matrix")
        .iter()
        .map(|&(_, wgsl)| wgsl)
        .collect();
    listed.sort_unstable_by_key(|wgsl| all.iter().position(|other| other == wgsl));
    assert_eq!(listed, all, "shaders/matrix and MatrixUnit::ALL");
}

#[test]
fn formats_and_libraries_keep_the_conventions() {
    let (formats, libraries) = (files("shaders/formats"), files("shaders/lib"));
    let names: Vec<_> = formats.iter().map(|&(name, _)| name).collect();
    let mut listed: Vec<_> = formats::ALL.iter().map(|format| format.name).collect();
    listed.sort_unstable();
    assert_eq!(names, listed, "shaders/formats and formats::ALL");
    for (name, wgsl) in formats {
        assert_eq!(conventions::of_format(wgsl), [""; 0], "{name}");
    }
    let caches = files("shaders/cache");
    let mut listed: Vec<_> = cache::ALL.iter().map(|kind| kind.name).collect();
    listed.sort_unstable();
    let names: Vec<_> = caches.iter().map(|&(name, _)| name).collect();
    assert_eq!(names, listed, "shaders/cache and cache::ALL");
    for (name, wgsl) in caches {
        assert_eq!(conventions::of_cache(wgsl), [""; 0], "{name}");
    }
    for (name, wgsl) in libraries.into_iter().chain(files("shaders/matrix")) {
        assert_eq!(conventions::of_text(wgsl), [""; 0], "{name}");
    }
}

#[test]
fn invalid_kernels_are_found() {
    let kernel = kernels()
        .into_iter()
        .find(|kernel| kernel.name == "matmul")
        .expect("matmul");
    let linked = kernel.link(Some(&formats::Q4_0), TIERS[0]);
    translate(&linked, TIERS[0]).expect("as it is");
    for (right, wrong) in [
        ("let token", "let from"),
        ("weight8(rows.x, chunk)", "weight8(rows.x)"),
        ("lane % LANES == 0", "lane % LANES"),
        ("array<f32>", "array<f16>"),
    ] {
        assert!(linked.contains(right), "{right}");
        assert!(
            translate(&linked.replace(right, wrong), TIERS[0]).is_err(),
            "{wrong}"
        );
    }
    // What the most capable device understands is not for all.
    let linked = kernel.link(Some(&formats::F16), TIERS[1]);
    translate(&linked, TIERS[1]).expect("as it is");
    assert!(translate(&linked, TIERS[0]).is_err());
}

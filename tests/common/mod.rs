//! The device that the GPU tests run on, and what they feed it.
//!
//! `TIEFSEE_TEST_DEVICE` is a part of an adapter's name; `TIEFSEE_TEST_TIERS` is `all` or
//! `none`, with or without subgroups, 16-bit floats and matrix units, or `matrix`, for matrix units
//! where only hardware would use them. `TIEFSEE_TEST_FORMATS` is `all` or `some`, for fewer formats of weights in
//! each kernel. Without an adapter every test fails.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses another part of this module"
)]

use std::env;
use std::rc::Rc;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tiefsee::Result;
use tiefsee::formats::{self, Format};
use tiefsee::gpu::{DeviceOptions, Gpu, Pass, Tensor, Tiers, Weight, WeightWriter};

/// The device that the environment names.
pub fn options() -> DeviceOptions {
    let without = match env::var("TIEFSEE_TEST_TIERS").as_deref() {
        Err(_) | Ok("all" | "matrix") => false,
        Ok("none") => true,
        Ok(other) => panic!("TIEFSEE_TEST_TIERS is {other:?}, not all, none or matrix"),
    };
    DeviceOptions {
        device: env::var("TIEFSEE_TEST_DEVICE").ok(),
        no_subgroups: without,
        no_f16: without,
        no_matrix: without,
        no_int64: without,
        store: None,
    }
}

/// Opens the device that the environment names, or fails the test.
pub fn open() -> Rc<Gpu> {
    let options = options();
    let mut gpu = pollster::block_on(Gpu::open(&options)).expect("the tests need a Vulkan driver");
    if env::var("TIEFSEE_TEST_TIERS").is_ok_and(|tiers| tiers == "matrix") {
        assert!(gpu.tiers.matrix.is_some(), "the device has no matrix units");
        lay_out_for_hardware(&mut gpu);
    }
    let name = &gpu.adapter().info.name;
    let wanted = options.device.unwrap_or_default().to_lowercase();
    assert!(
        name.to_lowercase().contains(&wanted),
        "{name} is not {wanted}"
    );
    if options.no_subgroups {
        let Tiers {
            subgroup_size,
            f16,
            matrix,
            ..
        } = gpu.tiers;
        assert_eq!((subgroup_size, f16, matrix), (0, false, None));
    }
    gpu
}

/// The device, and once more laid out for hardware where it is a processor: kernels then get
/// the workgroups that a real GPU gives them.
pub fn layouts() -> Vec<Rc<Gpu>> {
    let mut hardware = open();
    if !hardware.tiers.software {
        return vec![hardware];
    }
    lay_out_for_hardware(&mut hardware);
    vec![open(), hardware]
}

fn lay_out_for_hardware(gpu: &mut Rc<Gpu>) {
    let gpu = Rc::get_mut(gpu).expect("nobody else has it yet");
    gpu.tiers.software = false;
}

/// The formats that a kernel is tested with: all of them in the first of the [`layouts`], and a third in the other
/// one, where kernels do otherwise, but not with the weights. So it is between drivers: where `TIEFSEE_TEST_FORMATS`
/// is `some`, either layout has another third. The self-test has all formats everywhere.
pub fn formats_of(layout: usize) -> impl Iterator<Item = &'static Format> {
    let (first, step) = match env::var("TIEFSEE_TEST_FORMATS").as_deref() {
        Err(_) | Ok("all") => (0, 1 + 2 * layout),
        Ok("some") => (1 + layout, 3),
        Ok(other) => panic!("TIEFSEE_TEST_FORMATS is {other:?}, not all or some"),
    };
    formats::ALL.iter().copied().skip(first).step_by(step)
}

/// The [`layouts`], each with [`formats_of`] it.
pub fn layouts_with_formats() -> Vec<(Rc<Gpu>, &'static Format)> {
    let of_layout = |(layout, gpu): (usize, Rc<Gpu>)| {
        formats_of(layout).map(move |format| (Rc::clone(&gpu), format))
    };
    layouts()
        .into_iter()
        .enumerate()
        .flat_map(of_layout)
        .collect()
}

/// The device with bindings of at most `bytes`.
pub fn limited(bytes: usize) -> Rc<Gpu> {
    let mut gpu = open();
    limit(&mut gpu, bytes);
    gpu
}

/// Lets weights made from now on have bindings of at most `bytes`.
pub fn limit(gpu: &mut Rc<Gpu>, bytes: usize) {
    Rc::get_mut(gpu).expect("the only owner").binding_limit = bytes as u64;
}

/// Numbers in -1..1, the same for a seed on every machine.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Pcg64::seed_from_u64(seed);
    let number = |_| (random.next_u32() >> 8) as f32 / 2f32.powi(23) - 1.0;
    (0..count).map(number).collect()
}

/// The numbers below `count` in an order that looks random.
pub fn shuffled(count: usize, seed: u64) -> Vec<u32> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut keyed: Vec<_> = (0..count as u32)
        .map(|number| (random.next_u64(), number))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| number).collect()
}

/// Records, runs and reads what `record` returns.
pub fn run(gpu: &Gpu, record: impl FnOnce(&mut Pass) -> Vec<Tensor>) -> Vec<Vec<u8>> {
    try_run(gpu, record).expect("a run")
}

/// [`run`] where the device may fail.
pub fn try_run(gpu: &Gpu, record: impl FnOnce(&mut Pass) -> Vec<Tensor>) -> Result<Vec<Vec<u8>>> {
    let mut pass = Pass::new(gpu);
    let results = record(&mut pass);
    let recording = pass.finish(results);
    pollster::block_on(recording.submit(gpu).read(gpu))
}

/// [`run`] for a single tensor of f32.
pub fn run_f32(gpu: &Gpu, record: impl FnOnce(&mut Pass) -> Tensor) -> Vec<f32> {
    floats(&run(gpu, |pass| vec![record(pass)])[0])
}

/// Bytes read back, as f32.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// Bytes read back, as u32.
pub fn integers(bytes: &[u8]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// A weight of `[count, rows, columns]`, written in uneven pieces.
pub fn upload(gpu: &Gpu, format: &'static Format, dims: [usize; 3], values: &[f32]) -> Weight {
    let [_, _, columns] = dims;
    pollster::block_on(async {
        let mut writer = WeightWriter::new(gpu, format, dims).await?;
        let (first, rest) = values.split_at(columns);
        writer.write(first).await?;
        for rows in rest.chunks(7 * columns) {
            writer.write(rows).await?;
        }
        Ok::<_, tiefsee::Error>(writer.finish())
    })
    .expect("room for a weight")
}

/// What `format` makes of rows of `columns` weights.
pub fn stored(format: &Format, values: &[f32], columns: usize) -> Vec<f32> {
    let padded = format.padded(columns);
    let pad = |row: &[f32]| [row, &vec![0.0; padded - columns]].concat();
    let wide: Vec<f32> = values.chunks(columns).flat_map(pad).collect();
    let planes = (format.pack)(&wide);
    let unpacked = (format.unpack)(&planes.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let rows = unpacked.chunks(padded);
    rows.flat_map(|row| &row[..columns]).copied().collect()
}

/// Fails unless every value is within `tolerance` of the largest expected magnitude.
#[track_caller]
pub fn assert_near(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        // Written so that NaN fails.
        assert!(
            (actual - expected).abs() <= tolerance * largest,
            "{what}, value {index}: {actual} instead of {expected}, the largest is {largest}"
        );
    }
}

/// A line of the system's account of this process, in bytes: `VmRSS` for what it has in memory, `VmHWM` for
/// the most it had.
pub fn process_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("an account");
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * kib.expect("a number of KiB")
}

/// Seconds that the processor has worked for this process.
pub fn process_time() -> f64 {
    let account = std::fs::read_to_string("/proc/self/stat").expect("an account");
    let (_, fields) = account.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|ticks| ticks.parse::<u64>().expect("ticks"))
        .sum();
    // Linux counts hundredths of a second here, whatever its own clock does.
    ticks as f64 / 100.0
}

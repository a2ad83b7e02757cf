//! What a launch costs the host: less than three microseconds, or less than half more than wgpu and the driver take for
//! one that binds as much. It goes by the clock, so nothing else may be tested here.

// Unoptimised code takes several times as long.
#![cfg(not(debug_assertions))]

mod common;
#[path = "common/engines.rs"]
mod engines;

use std::rc::Rc;
use std::time::{Duration, Instant};

use pollster::block_on;
use tiefsee::engine::{BLOCK, Runner, Want};
use tiefsee::gpu::{Gpu, Recording, cache};
use tiefsee::layers::Span;
use tiefsee::models::WeightOptions;

/// Runs of either kind, and positions of the model.
const STEPS: usize = 256;

/// A kernel that does next to nothing, to as many tensors as most kernels have: three inputs and a result, and a weight
/// in a group of its own.
const BARE: &str = "
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read> c: array<u32>;
@group(0) @binding(3) var<storage, read_write> d: array<u32>;
@group(1) @binding(0) var<storage, read> weight: array<u32>;
@compute @workgroup_size(1) fn main() { d[0] = a[0] + b[0] + c[0] + weight[0]; }
";

/// Launches of [`BARE`] as they are written without tiefsee: each takes what the one before it wrote, and has a weight
/// of its own.
struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    groups: Vec<[wgpu::BindGroup; 2]>,
}

fn entry((binding, buffer): (u32, &wgpu::Buffer)) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: buffer.as_entire_binding(),
    }
}

impl Bare {
    fn new(launches: usize) -> Self {
        let wanted = common::open().adapter().info.name.clone();
        let instance = wgpu::Instance::default();
        let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let adapter = adapters
            .into_iter()
            .find(|each| each.get_info().name == wanted);
        let device = adapter
            .expect("the same adapter")
            .request_device(&wgpu::DeviceDescriptor::default());
        let (device, queue) = block_on(device).expect("a device");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(BARE.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffer = |_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 4,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let bind = |group, buffers: &[wgpu::Buffer]| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(group),
                entries: &(0..).zip(buffers).map(entry).collect::<Vec<_>>(),
            })
        };
        let weights: Vec<_> = (0..launches).map(buffer).collect();
        let tensors: Vec<_> = (0..launches + 3).map(buffer).collect();
        let chain = tensors.windows(4).zip(&weights);
        let groups = chain.map(|(it, weight)| [bind(0, it), bind(1, std::slice::from_ref(weight))]);
        let groups = groups.collect();
        Self {
            device,
            queue,
            pipeline,
            groups,
        }
    }

    /// The time that the host takes to submit the launches; waits until they have run.
    fn run(&self) -> Duration {
        let started = Instant::now();
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for [tensors, weight] in &self.groups {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, tensors, &[]);
            pass.set_bind_group(1, weight, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        drop(pass);
        let index = self.queue.submit([encoder.finish()]);
        let took = started.elapsed();
        let wait = wgpu::PollType::Wait {
            submission_index: Some(index),
            timeout: None,
        };
        self.device.poll(wait).expect("they run");
        took
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// One token, at this position.
fn recording(runner: &mut Runner, position: usize) -> &Recording {
    let span = Span {
        tokens: vec![5],
        start: position,
        blocks: (0..=(position / BLOCK) as u32).collect(),
        outputs: 1,
    };
    runner.prepare(&[span], Want::TOKENS)
}

/// The time that the host takes for the launches of a step, and for as many bare ones: medians over steps of a token.
fn host_times(runner: &mut Runner, gpu: &Gpu, bare: &Bare) -> [Duration; 2] {
    let times = (0..STEPS).map(|position| {
        let recording = recording(runner, position);
        let started = Instant::now();
        let pending = recording.submit(gpu);
        let took = started.elapsed();
        block_on(pending.read(gpu)).expect("a token");
        (took, bare.run())
    });
    let (ours, bare) = times.unzip();
    [ours, bare].map(median)
}

#[test]
fn a_launch_costs_the_host_little() {
    let (gpu, model) = engines::load("examples/demo-model", WeightOptions::default());
    let runner = Runner::new(Rc::clone(&gpu), model, STEPS, STEPS / BLOCK, &cache::F32);
    let mut runner = block_on(runner).expect("the bundled model");
    let launches = recording(&mut runner, 0).kernels().count();
    let bare = Bare::new(launches);
    // Only a busy machine needs more than one round.
    for round in 1.. {
        let times = host_times(&mut runner, &gpu, &bare);
        let [each, each_bare] = times.map(|time| time / launches as u32);
        println!("host time of a launch: {each:?}, {each_bare:?} without tiefsee");
        // A slow processor takes most of three microseconds for what is not ours.
        if each < Duration::from_micros(3).max(each_bare * 3 / 2) {
            break;
        }
        assert!(round < 20, "still {each:?}, {each_bare:?} without tiefsee");
    }
}

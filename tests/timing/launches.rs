//! What a launch costs the host: less than three microseconds, or less than twice what wgpu and the driver take for
//! a bare one.

use std::rc::Rc;
use std::time::{Duration, Instant};

use pollster::block_on;
use tiefsee::engine::{BLOCK, Runner, Want};
use tiefsee::gpu::cache;
use tiefsee::layers::Span;
use tiefsee::models::WeightOptions;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::{common, engines};

/// Positions of the model, and runs of either kind.
const CONTEXT: usize = 256;

/// A kernel that does next to nothing, to tensors of a word.
const BARE: &str = "
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(1) fn main() { b[0] += a[0]; }
";

/// Launches of [`BARE`] as they are written without tiefsee: each takes what the one before it wrote.
struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    groups: [wgpu::BindGroup; 2],
}

impl Bare {
    fn new() -> Self {
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
        let tensors = [1u32, 2].map(|value| {
            device.create_buffer_init(&BufferInitDescriptor {
                label: None,
                contents: &value.to_le_bytes(),
                usage: wgpu::BufferUsages::STORAGE,
            })
        });
        let groups = [[0, 1], [1, 0]].map(|places| {
            let bind = |binding: usize| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: tensors[places[binding]].as_entire_binding(),
            };
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[bind(0), bind(1)],
            })
        });
        Self {
            device,
            queue,
            pipeline,
            groups,
        }
    }

    /// The time that the host takes to submit so many launches; waits until they have run.
    fn run(&self, launches: usize) -> Duration {
        let started = Instant::now();
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for index in 0..launches {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.groups[index % 2], &[]);
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

#[test]
fn a_launch_takes_the_host_three_microseconds_or_two_bare_ones() {
    let _alone = crate::alone();
    let (gpu, model) = engines::load("examples/demo-model", WeightOptions::default());
    let runner = Runner::new(
        Rc::clone(&gpu),
        model,
        CONTEXT,
        CONTEXT / BLOCK,
        &cache::F32,
    );
    let mut runner = block_on(runner).expect("the bundled model");
    let bare = Bare::new();
    let (mut best, mut best_bare) = (Duration::MAX, Duration::MAX);
    let mut launches = 0;
    // The least of many steps, for other programs want the processor, too.
    for position in 0..CONTEXT {
        let span = Span {
            tokens: vec![5],
            start: position,
            blocks: (0..=(position / BLOCK) as u32).collect(),
            outputs: 1,
        };
        let recording = runner.prepare(&[span], Want::TOKENS);
        launches = recording.kernels().count();
        let started = Instant::now();
        let pending = recording.submit(&gpu);
        best = best.min(started.elapsed());
        block_on(pending.read(&gpu)).expect("a token");
        best_bare = best_bare.min(bare.run(launches));
    }
    let [each, each_bare] = [best, best_bare].map(|time| time / launches as u32);
    println!("host time of each of {launches} launches: {each:?}, {each_bare:?} without tiefsee");
    // A slow processor takes most of three microseconds for what is not ours.
    let limit = Duration::from_micros(3).max(2 * each_bare);
    assert!(each < limit, "{each:?}, {each_bare:?} without tiefsee");
}

//! Compiled kernels: each one once, several at a time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::driver_cache::DriverCache;
use super::kernel::Constant;
use super::layout::{self, Access, Layouts};
use super::threads::{self, Background};
use super::{Gpu, Kernel, Tiers};
use crate::formats::Format;

#[derive(PartialEq, Eq, Hash)]
struct Key {
    kernel: &'static str,
    cache: Option<&'static str>,
    format: Option<&'static str>,
    constants: Vec<Constant>,
}

/// A kernel that is compiled when it is first needed, or before.
pub(super) struct Pipeline {
    kernel: Kernel,
    format: Option<&'static Format>,
    constants: Vec<Constant>,
    wgsl: String,
    layout: wgpu::PipelineLayout,
    pub tensors: wgpu::BindGroupLayout,
    /// Bindings of group 0, in order.
    pub bindings: Vec<(u32, Access)>,
    compiled: OnceLock<wgpu::ComputePipeline>,
}

impl Pipeline {
    /// The compiled kernel, which [`Pipelines::compile`] made.
    pub(super) fn compiled(&self) -> &wgpu::ComputePipeline {
        let compiled = self.compiled.get();
        compiled.expect("a pass compiles its kernels when it is finished")
    }

    /// Compiles the kernel; whoever comes while another thread does it waits for that one.
    fn compile(&self, compiler: &Compiler) {
        self.compiled.get_or_init(|| compiler.compile(self));
    }
}

/// What threads need of a device for compiling.
#[derive(Clone)]
struct Compiler {
    device: wgpu::Device,
    cache: Option<wgpu::PipelineCache>,
}

impl Compiler {
    fn compile(&self, pipeline: &Pipeline) -> wgpu::ComputePipeline {
        let label = Some(pipeline.kernel.name);
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label,
                source: wgpu::ShaderSource::Wgsl(pipeline.wgsl.as_str().into()),
            });
        let constants: Vec<_> = pipeline
            .constants
            .iter()
            .map(|&(name, value)| (name, f64::from(value)))
            .collect();
        self.device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline.layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.cache.as_ref(),
            })
    }
}

/// The kernels of a device.
pub(super) struct Pipelines {
    device: wgpu::Device,
    layouts: Layouts,
    compiler: Compiler,
    known: RefCell<HashMap<Key, Arc<Pipeline>>>,
    /// The same, in the order they were asked for.
    order: RefCell<Vec<Arc<Pipeline>>>,
    /// What is compiled ahead of its use.
    ahead: Cell<Option<Background>>,
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device, cache: Option<&DriverCache>) -> Self {
        Self {
            device: device.clone(),
            layouts: Layouts::new(device),
            compiler: Compiler {
                device: device.clone(),
                cache: cache.map(|cache| cache.pipelines.clone()),
            },
            known: RefCell::default(),
            order: RefCell::default(),
            ahead: Cell::default(),
        }
    }

    /// The layout of a group of bindings.
    pub(super) fn layout(&self, bindings: &[(u32, Access)]) -> wgpu::BindGroupLayout {
        self.layouts.get(bindings)
    }

    /// `kernel` for weights in `format`, compiled or not.
    pub(super) fn get(
        &self,
        kernel: Kernel,
        format: Option<&'static Format>,
        constants: &[Constant],
        tiers: Tiers,
    ) -> Arc<Pipeline> {
        let key = Key {
            kernel: kernel.name,
            cache: kernel.cache.map(|cache| cache.name),
            format: format.map(|format| format.name),
            constants: constants.to_vec(),
        };
        if let Some(pipeline) = self.known.borrow().get(&key) {
            return Arc::clone(pipeline);
        }
        let pipeline = Arc::new(self.link(kernel, format, constants, tiers));
        self.known.borrow_mut().insert(key, Arc::clone(&pipeline));
        self.order.borrow_mut().push(Arc::clone(&pipeline));
        pipeline
    }

    fn link(
        &self,
        kernel: Kernel,
        format: Option<&'static Format>,
        constants: &[Constant],
        tiers: Tiers,
    ) -> Pipeline {
        let wgsl = kernel.link(format, tiers);
        let bindings = layout::bindings(&wgsl, 0);
        let weight = layout::bindings(&wgsl, 1);
        let tensors = self.layouts.get(&bindings);
        let weight = (!weight.is_empty()).then(|| self.layouts.get(&weight));
        let groups = [Some(&tensors), weight.as_ref()];
        let layout = self
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &groups[..=usize::from(weight.is_some())],
                immediate_size: 0,
            });
        Pipeline {
            kernel,
            format,
            constants: constants.to_vec(),
            wgsl,
            layout,
            tensors,
            bindings,
            compiled: OnceLock::new(),
        }
    }

    /// Compiles those of `pipelines` that are not yet, on several cores.
    pub(super) fn compile<'a>(&self, pipelines: impl Iterator<Item = &'a Arc<Pipeline>>) {
        let mut missing: Vec<&Arc<Pipeline>> = Vec::new();
        for pipeline in pipelines.filter(|pipeline| pipeline.compiled.get().is_none()) {
            if !missing.iter().any(|other| Arc::ptr_eq(other, pipeline)) {
                missing.push(pipeline);
            }
        }
        let compiler = &self.compiler;
        threads::together(&missing, |pipeline| pipeline.compile(compiler));
    }
}

impl Gpu {
    /// Kernels, with their formats and constants, that were recorded or compiled ahead so far.
    pub fn kernels(&self) -> usize {
        self.pipelines.order.borrow().len()
    }

    /// Begins to compile every kernel that was recorded on `rehearsal`, a device that only counts, in the
    /// background where the platform has threads. What is recorded meanwhile waits only for its own kernels.
    pub fn compile_ahead(&self, rehearsal: &Self) {
        let wanted = |pipeline: &Arc<Pipeline>| {
            let Pipeline {
                kernel,
                format,
                ref constants,
                ..
            } = **pipeline;
            self.pipelines.get(kernel, format, constants, self.tiers)
        };
        let pipelines = rehearsal.pipelines.order.borrow();
        let pipelines = pipelines.iter().map(wanted).collect();
        let compiler = self.pipelines.compiler.clone();
        let compile = move |pipeline: &Arc<Pipeline>| pipeline.compile(&compiler);
        let ahead = Background::start(pipelines, compile);
        self.pipelines.ahead.set(Some(ahead));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::gpu::{Dispatch, Pass, Tensor};

    /// A kernel as an op would launch it.
    fn pad(pass: &mut Pass, lanes: u32) {
        let x = Tensor::new(pass.gpu, &[1, 4]);
        pass.dispatch(Dispatch {
            kernel: Kernel {
                name: "pad",
                wgsl: include_str!("../../shaders/pad.wgsl"),
                cache: None,
            },
            constants: &[("WORKGROUP_SIZE", lanes)],
            params: [4u32, 4, 8, 0],
            inputs: &[&x],
            weight: None,
            outputs: &[&Tensor::new(pass.gpu, &[1, 8])],
            workgroups: [1, 1, 1],
        });
    }

    #[test]
    fn what_was_rehearsed_is_compiled_in_the_background() {
        let gpu = pollster::block_on(Gpu::counting(None)).expect("a device that only counts");
        let rehearsal = pollster::block_on(gpu.rehearsal()).expect("another one");
        let mut pass = Pass::new(&rehearsal);
        for lanes in [32, 64, 32, 128] {
            pad(&mut pass, lanes);
        }
        assert_eq!((rehearsal.kernels(), gpu.kernels()), (3, 0));
        gpu.compile_ahead(&rehearsal);
        assert_eq!(gpu.kernels(), 3);
        let order = gpu.pipelines.order.borrow();
        let begun = Instant::now();
        while order
            .iter()
            .any(|pipeline| pipeline.compiled.get().is_none())
        {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody compiles");
            std::thread::yield_now();
        }
        // What was only counted is not compiled.
        let counted = rehearsal.pipelines.order.borrow();
        assert!(
            counted
                .iter()
                .all(|pipeline| pipeline.compiled.get().is_none())
        );
        gpu.check().expect("no fault");
    }
}

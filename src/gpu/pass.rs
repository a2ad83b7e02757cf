//! Launches recorded in order.

use std::collections::HashMap;
use std::sync::Arc;

use bytemuck::Pod;

use super::kernel::Constant;
use super::layout::Access;
use super::memory::{Buffer, Purpose};
use super::profile::Work;
use super::recording::{Launch, Recording};
use super::tuning::Question;
use super::{Gpu, Kernel, Shard, Tensor};

/// Bytes between the parameters of two launches: every device can bind a uniform there.
const PARAMS_STRIDE: usize = 256;
/// Different parameters that one uniform buffer holds.
const PARAMS_PER_PAGE: usize = 256;

/// One launch of a kernel.
pub struct Dispatch<'a, P> {
    /// What runs.
    pub kernel: Kernel,
    /// Values of the kernel's `override`s that differ from its defaults.
    pub constants: &'a [Constant],
    /// The kernel's `Params`; `()` if it has none.
    pub params: P,
    /// Tensors it reads, in the order of its bindings.
    pub inputs: &'a [&'a Tensor],
    /// The weight it reads, as group 1.
    pub weight: Option<&'a Shard>,
    /// Tensors it writes, in the order of its bindings after the inputs.
    pub outputs: &'a [&'a Tensor],
    /// Workgroups in each dimension.
    pub workgroups: [usize; 3],
}

/// Launches being recorded; nothing runs before [`Recording::submit`].
pub struct Pass<'g> {
    /// The device that the launches are for.
    pub gpu: &'g Gpu,
    launches: Vec<Launch>,
    pages: Vec<(Buffer, Vec<u8>)>,
    /// Where equal parameters already are: layers repeat them.
    known: HashMap<Vec<u8>, (usize, u64)>,
    /// What the next launch's constants were chosen for.
    pub(super) chosen: Option<Question>,
}

impl<'g> Pass<'g> {
    /// An empty pass.
    pub fn new(gpu: &'g Gpu) -> Self {
        Self {
            gpu,
            launches: Vec::new(),
            pages: Vec::new(),
            known: HashMap::new(),
            chosen: None,
        }
    }

    /// Room for a launch's result; its content is undefined until written.
    pub fn tensor(&self, shape: &[usize]) -> Tensor {
        Tensor::scratch(self.gpu, shape)
    }

    /// Records a launch after those before it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a launch is written as a literal, once"
    )]
    #[track_caller]
    pub fn dispatch<P: Pod>(&mut self, launch: Dispatch<'_, P>) {
        let Dispatch {
            kernel,
            constants,
            ref params,
            inputs,
            weight,
            outputs,
            workgroups,
        } = launch;
        self.add(&Dispatch {
            kernel,
            constants,
            params: bytemuck::bytes_of(params),
            inputs,
            weight,
            outputs,
            workgroups,
        });
    }

    /// [`Pass::dispatch`] for parameters of any type: there is one of it.
    #[track_caller]
    fn add(&mut self, launch: &Dispatch<'_, &[u8]>) {
        let name = launch.kernel.name;
        let choice = self.chosen.take();
        let workgroups = launch.workgroups.map(|count| count as u32);
        assert!(
            workgroups.iter().all(|&count| count <= 65_535),
            "{name}: {workgroups:?} workgroups"
        );
        if workgroups.contains(&0) {
            return;
        }
        let params = launch.params;
        let page = (!params.is_empty()).then(|| self.params(params));
        let format = launch.weight.map(|shard| shard.format);
        let pipeline =
            self.gpu
                .pipelines
                .get(launch.kernel, format, launch.constants, self.gpu.tiers);
        if self.gpu.is_counting() {
            return;
        }
        let tensors = launch
            .inputs
            .iter()
            .chain(launch.outputs)
            .map(|tensor| tensor.binding());
        let uniform = page.map(|place| self.uniform(place, params.len()));
        let resources: Vec<_> = uniform.into_iter().chain(tensors).collect();
        let expected = &pipeline.bindings;
        assert_eq!(resources.len(), expected.len(), "{name} binds {expected:?}");
        debug_assert!(
            expected
                .iter()
                .rev()
                .take(launch.outputs.len())
                .all(|&(_, access)| access == Access::Write),
            "{name}: outputs are bound last"
        );
        let entries: Vec<_> = expected
            .iter()
            .zip(resources)
            .map(|(&(binding, _), resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let tensors = self
            .gpu
            .device
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(name),
                layout: &pipeline.tensors,
                entries: &entries,
            });
        let weight = launch.weight.map(|shard| shard.group.clone());
        self.launches.push(Launch {
            work: work(launch, workgroups),
            pipeline: Arc::clone(&pipeline),
            tensors,
            weight,
            choice,
        });
    }

    /// The binding of `bytes` bytes of parameters at a place.
    fn uniform(&self, (page, offset): (usize, u64), bytes: usize) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.pages[page].0,
            offset,
            size: wgpu::BufferSize::new(bytes as u64),
        })
    }

    /// Where `params` lie: the number of the page and the offset in it.
    fn params(&mut self, params: &[u8]) -> (usize, u64) {
        assert!(params.len() <= PARAMS_STRIDE);
        if let Some(&place) = self.known.get(params) {
            return place;
        }
        if self
            .pages
            .last()
            .is_none_or(|(_, bytes)| bytes.len() == PARAMS_STRIDE * PARAMS_PER_PAGE)
        {
            let bytes = (PARAMS_STRIDE * PARAMS_PER_PAGE) as u64;
            let buffer = self.gpu.buffers.create(Purpose::Params, bytes);
            self.pages.push((buffer, Vec::new()));
        }
        let page = self.pages.len() - 1;
        let bytes = &mut self.pages[page].1;
        let offset = bytes.len();
        bytes.extend_from_slice(params);
        bytes.resize(offset + PARAMS_STRIDE, 0);
        self.known.insert(params.to_vec(), (page, offset as u64));
        (page, offset as u64)
    }

    /// Ends the recording; `results` are what [`Recording::submit`] reads back.
    pub fn finish(self, results: Vec<Tensor>) -> Recording {
        for (buffer, bytes) in &self.pages {
            if !self.gpu.is_counting() {
                self.gpu.queue.write_buffer(buffer, 0, bytes);
            }
        }
        let pipelines = self.launches.iter().map(|launch| &launch.pipeline);
        self.gpu.pipelines.compile(pipelines);
        let pages = self.pages.into_iter().map(|(buffer, _)| buffer);
        Recording::new(self.launches, pages.collect(), results)
    }
}

fn work(launch: &Dispatch<&[u8]>, workgroups: [u32; 3]) -> Work {
    let shapes = |tensors: &[&Tensor]| {
        let shapes = tensors.iter().map(|tensor| tensor.shape().to_vec());
        shapes.collect()
    };
    Work {
        kernel: launch.kernel.name,
        constants: launch.constants.to_vec(),
        cache: launch.kernel.cache,
        inputs: shapes(launch.inputs),
        weight: launch.weight.map(Shard::part),
        outputs: shapes(launch.outputs),
        workgroups,
    }
}

//! Kernels: WGSL files, linked by concatenation and compiled once.

use std::rc::Rc;

use super::layout::{self, Access};
use super::{CacheType, Gpu, Tiers};
use crate::formats::Format;

/// Names the kernel in `shaders/<name>.wgsl`.
#[macro_export]
macro_rules! kernel {
    ($name:literal) => {
        $crate::gpu::Kernel {
            name: $name,
            wgsl: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            )),
            cache: None,
        }
    };
}

macro_rules! library {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/lib/",
            $name,
            ".wgsl"
        ))
    };
}

/// A GPU program before it is linked.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Its file's name.
    pub name: &'static str,
    /// Its text.
    pub wgsl: &'static str,
    /// The type of the cache that it reads or writes, if it does so in any.
    pub cache: Option<&'static CacheType>,
}

/// An `override` of a kernel and its value.
pub(super) type Constant = (&'static str, u32);

#[derive(PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    kernel: &'static str,
    cache: Option<&'static str>,
    format: Option<&'static str>,
    constants: Vec<Constant>,
}

/// A compiled kernel.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub tensors: wgpu::BindGroupLayout,
    /// Bindings of group 0, in order.
    pub bindings: Vec<(u32, Access)>,
}

impl Kernel {
    /// The kernel for a cache of a type.
    #[must_use]
    pub fn over(self, cache: &'static CacheType) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// The complete WGSL module: directives, library, cache type, weight format, kernel.
    ///
    /// WGSL does not care in which order things are declared, so linking is
    /// concatenation. A kernel calls `weight8`, the format it is linked with defines it.
    pub fn link(&self, format: Option<&Format>, tiers: Tiers) -> String {
        let format = format.map_or("", |format| format.wgsl);
        let cache = self.cache.map_or("", |cache| cache.wgsl);
        let own = [cache, format, self.wgsl].concat();
        let library = LIBRARY
            .iter()
            .filter(|file| file.is_called_in(&own))
            .map(|file| file.text(tiers));
        let directives = directives(tiers);
        let parts: Vec<_> = std::iter::once(directives.as_str())
            .chain(library)
            .chain([&*own])
            .collect();
        parts.join("\n")
    }
}

/// Files of `shaders/lib` that declare the same names, of which the device takes one.
struct Library {
    /// What a kernel or format mentions if it needs the file.
    name: &'static str,
    baseline: &'static str,
    subgroups: Option<&'static str>,
    f16: Option<&'static str>,
    int64: Option<&'static str>,
}

const LIBRARY: [Library; 10] = [
    Library {
        name: "slots_of(",
        baseline: library!("slots"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "weight8(",
        baseline: library!("weight"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "Half",
        baseline: library!("half"),
        subgroups: None,
        f16: Some(library!("half_f16")),
        int64: None,
    },
    Library {
        name: "f8_values(",
        baseline: library!("f8"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "bits_",
        baseline: library!("bits"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "iq4_levels(",
        baseline: library!("iq4"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "block_product(",
        baseline: library!("block"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "heads_dot(",
        baseline: library!("heads"),
        subgroups: None,
        f16: None,
        int64: None,
    },
    Library {
        name: "lanes_sum(",
        baseline: library!("lanes"),
        subgroups: Some(library!("lanes_subgroup")),
        f16: None,
        int64: None,
    },
    Library {
        name: "Wide",
        baseline: library!("wide"),
        subgroups: None,
        f16: None,
        int64: Some(library!("wide_int64")),
    },
];

impl Library {
    fn is_called_in(&self, text: &str) -> bool {
        text.contains(self.name)
    }

    fn text(&self, tiers: Tiers) -> &'static str {
        let subgroups = self.subgroups.filter(|_| tiers.subgroup_size > 0);
        let f16 = self.f16.filter(|_| tiers.f16);
        let int64 = self.int64.filter(|_| tiers.int64);
        subgroups.or(f16).or(int64).unwrap_or(self.baseline)
    }
}

/// `enable` lines and the device's constants; browsers demand a line for subgroups, naga knows none.
fn directives(tiers: Tiers) -> String {
    let subgroups = tiers.subgroup_size > 0 && super::BROWSER;
    let enable = [(tiers.f16, "enable f16;"), (subgroups, "enable subgroups;")];
    let mut lines: Vec<_> = enable
        .iter()
        .filter(|(on, _)| *on)
        .map(|&(_, line)| line.to_owned())
        .collect();
    lines.push(format!(
        "const SUBGROUP_SIZE: u32 = {};",
        tiers.subgroup_size
    ));
    lines.join("\n")
}

impl Gpu {
    /// The compiled `kernel` for weights in `format`.
    pub(super) fn pipeline(
        &self,
        kernel: Kernel,
        format: Option<&'static Format>,
        constants: &[Constant],
    ) -> Rc<Pipeline> {
        let key = PipelineKey {
            kernel: kernel.name,
            cache: kernel.cache.map(|cache| cache.name),
            format: format.map(|format| format.name),
            constants: constants.to_vec(),
        };
        if let Some(pipeline) = self.pipelines.borrow().get(&key) {
            return Rc::clone(pipeline);
        }
        let pipeline = Rc::new(self.compile(kernel, format, constants));
        self.pipelines
            .borrow_mut()
            .insert(key, Rc::clone(&pipeline));
        pipeline
    }

    fn compile(
        &self,
        kernel: Kernel,
        format: Option<&'static Format>,
        constants: &[Constant],
    ) -> Pipeline {
        let wgsl = kernel.link(format, self.tiers);
        let bindings = layout::bindings(&wgsl, 0);
        let weight = layout::bindings(&wgsl, 1);
        let tensors = self.layouts.get(&bindings);
        let weight = (!weight.is_empty()).then(|| self.layouts.get(&weight));
        let groups = [Some(&tensors), weight.as_ref()];
        let pipeline_layout = self
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &groups[..=usize::from(weight.is_some())],
                immediate_size: 0,
            });
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name),
                source: wgpu::ShaderSource::Wgsl(wgsl.into()),
            });
        let constants: Vec<_> = constants
            .iter()
            .map(|&(name, value)| (name, f64::from(value)))
            .collect();
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
        Pipeline {
            pipeline,
            tensors,
            bindings,
        }
    }
}

/// What declares the bindings of group 1 for weights in `format`.
pub(super) fn weight_wgsl(format: &Format) -> String {
    [library!("weight"), format.wgsl].join("\n")
}

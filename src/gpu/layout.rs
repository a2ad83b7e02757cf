//! What a kernel binds, read from its WGSL, and the layouts made of it.

use std::cell::RefCell;
use std::collections::HashMap;

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// `var<uniform>`
    Uniform,
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// The bindings of `group`, by number, as the lines `@group(g) @binding(b) var<..>` of `wgsl` declare them.
///
/// One binding a line is a convention of the kernels (`shaders/README.md`), and a test keeps it.
pub(super) fn bindings(wgsl: &str, group: u32) -> Vec<(u32, Access)> {
    let mut found = Vec::new();
    for line in wgsl.lines() {
        let Some(rest) = line
            .trim_start()
            .strip_prefix(&format!("@group({group}) @binding("))
        else {
            continue;
        };
        let Some((number, rest)) = rest.split_once(") var<") else {
            continue;
        };
        let access = match rest.split('>').next() {
            Some("uniform") => Access::Uniform,
            Some("storage, read") => Access::Read,
            Some("storage, read_write") => Access::Write,
            other => panic!("binding {number} has the unknown kind {other:?}"),
        };
        found.push((number.parse().expect("a binding's number"), access));
    }
    found.sort_unstable_by_key(|&(number, _)| number);
    found
}

/// Bind group layouts, one per combination of bindings.
pub(super) struct Layouts {
    device: wgpu::Device,
    made: RefCell<HashMap<Vec<(u32, Access)>, wgpu::BindGroupLayout>>,
}

impl Layouts {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Self {
            device: device.clone(),
            made: RefCell::default(),
        }
    }

    pub(super) fn get(&self, bindings: &[(u32, Access)]) -> wgpu::BindGroupLayout {
        let mut made = self.made.borrow_mut();
        made.entry(bindings.to_vec())
            .or_insert_with(|| create(&self.device, bindings))
            .clone()
    }
}

fn create(device: &wgpu::Device, bindings: &[(u32, Access)]) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = bindings
        .iter()
        .map(|&(binding, access)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    })
}

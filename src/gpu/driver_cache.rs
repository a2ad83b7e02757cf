//! The driver's compiled kernels, kept from run to run where it gives them away (Vulkan).

use std::cell::RefCell;
use std::rc::Rc;

use super::store::{self, Store};
use super::{AdapterReport, Gpu};

/// A device's cache and the file that it is kept in.
pub(super) struct DriverCache {
    pub(super) pipelines: wgpu::PipelineCache,
    store: Rc<dyn Store>,
    file: String,
    identity: String,
    /// What the file holds.
    kept: RefCell<Vec<u8>>,
}

impl DriverCache {
    /// Where `device` has such a cache: with what an earlier run left in `store`.
    pub(super) fn open(
        device: &wgpu::Device,
        adapter: &AdapterReport,
        store: &Rc<dyn Store>,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let (file, identity) = (
            store::file_name(adapter, "pipelines"),
            store::identity(adapter),
        );
        let sealed = store.read(&file).unwrap_or_default();
        let kept = store::unseal(&identity, &sealed).unwrap_or_default();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: None,
            data: Some(kept).filter(|kept| !kept.is_empty()),
            fallback: true,
        };
        #[expect(
            unsafe_code,
            reason = "wgpu has no safe way: the data must come from the cache of such a device. Its seal says so: \
                      it is whole, and of this adapter, driver and version; wgpu checks its header, too"
        )]
        // SAFETY: as above.
        let pipelines = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self {
            pipelines,
            store: Rc::clone(store),
            file,
            identity,
            kept: RefCell::new(kept.to_vec()),
        })
    }

    /// Writes what is new.
    fn keep(&self) {
        let Some(data) = self.pipelines.get_data() else {
            return;
        };
        if *self.kept.borrow() != data {
            let sealed = store::seal(&self.identity, &data);
            self.store.write(&self.file, &sealed);
            self.kept.replace(data);
        }
    }
}

impl Gpu {
    /// Keeps the kernels that were compiled so far for the next run, if there is a store and the driver gives
    /// them away. Also done when the device is dropped.
    pub fn keep_pipelines(&self) {
        if let Some(cache) = &self.driver_cache {
            cache.keep();
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.keep_pipelines();
    }
}

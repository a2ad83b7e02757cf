use bytemuck::{Pod, Zeroable};

use crate::gpu::{Cache, Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
}

/// Puts rows into the cache's slots, packed as the cache is.
///
/// `x: [tokens, width]`, `slots: [tokens]` of u32
#[track_caller]
pub fn pack_rows(pass: &mut Pass, x: &Tensor, slots: &Tensor, cache: &Cache) {
    let [tokens, width] = x.dims();
    assert_eq!(slots.dims(), [tokens]);
    assert_eq!(cache.width, width);
    assert!(width.is_multiple_of(4), "rows of {width} columns");
    pass.dispatch(Dispatch {
        kernel: kernel!("pack_rows").over(cache.kind),
        constants: &[],
        params: Params {
            width: width as u32 / 4,
        },
        inputs: &[x, slots],
        weight: None,
        outputs: &[&cache.rows],
        workgroups: [width.div_ceil(32 * 64), tokens, 1],
    });
}

/// Where a kernel that makes rows puts them: into a cache of f32, or aside, for [`pack_rows`].
pub(super) struct Stored<'a> {
    cache: &'a Cache,
    slots: &'a Tensor,
    aside: Option<Tensor>,
}

impl<'a> Stored<'a> {
    /// For as many rows as there are `slots`.
    pub(super) fn new(pass: &Pass, cache: &'a Cache, slots: &'a Tensor) -> Self {
        let [tokens] = slots.dims();
        let aside = (!cache.is_plain()).then(|| pass.tensor(&[tokens, cache.width]));
        Self {
            cache,
            slots,
            aside,
        }
    }

    /// The kernel's output.
    pub(super) fn output(&self) -> &Tensor {
        self.aside.as_ref().unwrap_or(&self.cache.rows)
    }

    /// The kernel's `SLOTS`: whether a row's place is its slot, and not its token's number.
    pub(super) fn constant(&self) -> (&'static str, u32) {
        ("SLOTS", u32::from(self.aside.is_none()))
    }

    /// After the kernel.
    pub(super) fn finish(self, pass: &mut Pass) {
        if let Some(rows) = &self.aside {
            pack_rows(pass, rows, self.slots, self.cache);
        }
    }
}

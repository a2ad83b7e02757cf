//! Kernels: WGSL files, linked by concatenation.

use super::store::hash;
use super::{CacheType, MatrixUnit, Tiers};
use crate::formats::Format;

/// Names the kernel in `shaders/<name>.wgsl`.
#[macro_export]
macro_rules! kernel {
    ($name:literal) => {
        $crate::gpu::Kernel {
            name: $name,
            wgsl: $crate::wgsl!($name),
            cache: None,
        }
    };
}

/// What browsers never need, and so do not download.
const fn native(text: &'static str) -> &'static str {
    if super::BROWSER { "" } else { text }
}

macro_rules! library {
    ($name:literal) => {
        $crate::wgsl!("lib/", $name)
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
pub type Constant = (&'static str, u32);

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
        let units = tiers.units().filter(|_| self.uses_units());
        let matrix = units.map_or("", MatrixUnit::wgsl);
        let own = [cache, matrix, format, self.wgsl].concat();
        let library = library(&own, tiers);
        let directives = directives(Tiers {
            matrix: units,
            ..tiers
        });
        [&[directives.as_str()], &library[..], &[&own]]
            .concat()
            .join("\n")
    }

    /// Whether the kernel is one for matrix units.
    pub fn uses_units(&self) -> bool {
        self.wgsl.contains("Unit")
    }
}

/// Files of `shaders/lib` that declare the same names, of which the device takes one.
struct Library {
    /// What a kernel, format or file of the library mentions if it needs the file.
    name: &'static str,
    baseline: &'static str,
    subgroups: Option<&'static str>,
    f16: Option<&'static str>,
    int64: Option<&'static str>,
    software: Option<&'static str>,
    /// For software adapters with subgroups of eight lanes, which exchange registers for next to nothing.
    eight: Option<&'static str>,
}

impl Library {
    const fn new(name: &'static str, baseline: &'static str) -> Self {
        Self {
            name,
            baseline,
            subgroups: None,
            f16: None,
            int64: None,
            software: None,
            eight: None,
        }
    }
}

const LIBRARY: &[Library] = &[
    Library::new("matrix_run(", native(library!("matrix"))),
    Library::new("operand_scales(", native(library!("operand"))),
    Library {
        software: Some(library!("block_registers")),
        ..Library::new("block_run(", library!("block"))
    },
    Library {
        subgroups: Some(library!("eight_subgroup")),
        ..Library::new("eight_rows(", library!("eight"))
    },
    Library::new("slots_of(", library!("slots")),
    Library::new("weight8(", library!("weight")),
    Library {
        f16: Some(library!("half_f16")),
        ..Library::new("Half", library!("half"))
    },
    Library::new("f8_values(", library!("f8")),
    Library::new("bits_", library!("bits")),
    Library::new("iq4_levels(", library!("iq4")),
    Library::new("quad_", native(library!("quads"))),
    Library::new("heads_dot(", library!("heads")),
    Library::new("heads_product(", library!("heads_product")),
    Library {
        eight: Some(native(library!("key_scores_eight"))),
        ..Library::new("key_scores(", library!("key_scores"))
    },
    Library::new("attend(", library!("attend")),
    Library::new("attend_tile(", library!("attend_tile")),
    Library::new("attend_share(", library!("attend_rows")),
    Library {
        eight: Some(native(library!("attend_lanes_eight"))),
        ..Library::new("attend_values(", library!("attend_lanes"))
    },
    Library::new("splits_of(", library!("splits")),
    Library::new("part_leave(", library!("parts")),
    Library::new("store_row_block(", library!("store_row")),
    Library::new("store_latent_row(", library!("store_latent_row")),
    Library {
        eight: Some(native(library!("workgroup_sum_eight"))),
        ..Library::new("workgroup_sum(", library!("workgroup_sum"))
    },
    Library::new("dots_partial(", library!("dots")),
    Library::new("input_scale(", library!("inputs")),
    Library::new("gated(", library!("gated")),
    Library::new("radix_select(", library!("radix")),
    Library::new("best_of(", library!("best")),
    Library::new("random_words(", library!("random")),
    Library {
        subgroups: Some(library!("lanes_subgroup")),
        ..Library::new("lanes_sum", library!("lanes"))
    },
    Library {
        int64: Some(library!("wide_int64")),
        ..Library::new("Wide", library!("wide"))
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
        let software = self.software.filter(|_| tiers.software);
        let eight = self.eight.filter(|_| tiers.exchanges_eight());
        let own = eight.or(software).or(subgroups).or(f16).or(int64);
        own.unwrap_or(self.baseline)
    }
}

/// The files that a text calls functions of, and those that they call in turn.
fn library(own: &str, tiers: Tiers) -> Vec<&'static str> {
    let mut linked = Vec::new();
    let mut left: Vec<_> = LIBRARY.iter().collect();
    loop {
        let is_called = |file: &Library| {
            let mut texts = std::iter::once(own).chain(linked.iter().copied());
            texts.any(|text| file.is_called_in(text))
        };
        let (called, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|file| is_called(file));
        if called.is_empty() {
            return linked;
        }
        linked.extend(called.iter().map(|file| file.text(tiers)));
        left = others;
    }
}

/// `enable` lines and the device's constants; browsers demand a line for subgroups, naga knows none.
fn directives(tiers: Tiers) -> String {
    let subgroups = tiers.subgroup_size > 0 && super::BROWSER;
    let matrix = tiers.matrix.is_some();
    let enable = [
        (tiers.f16, "enable f16;"),
        (subgroups, "enable subgroups;"),
        (matrix, "enable wgpu_cooperative_matrix;"),
    ];
    let mut lines: Vec<_> = enable
        .iter()
        .filter(|(on, _)| *on)
        .map(|&(_, line)| line.to_owned())
        .collect();
    lines.push(format!(
        "const SUBGROUP_SIZE: u32 = {};",
        tiers.subgroup_size
    ));
    lines.push(format!(
        "const WIDEST_SUBGROUP: u32 = {};",
        tiers.widest_subgroup
    ));
    lines.join("\n")
}

/// What declares the bindings of group 1 for weights in `format`.
pub(super) fn weight_wgsl(format: &Format) -> String {
    [library!("weight"), format.wgsl].join("\n")
}

/// [`hash`] of all files of the library.
pub(super) fn library_hash() -> String {
    let files = LIBRARY.iter().flat_map(|file| {
        let baseline = Some(file.baseline);
        let variants = [
            baseline,
            file.subgroups,
            file.f16,
            file.int64,
            file.software,
            file.eight,
        ];
        variants.into_iter().flatten()
    });
    hash(&files.collect::<Vec<_>>().concat())
}

//! Which format each tensor of a converted model gets. Knows names, but reads nothing.

use crate::formats::{self, Format};

/// Types by their names, with the number that GGUF files have for a model of mostly that type.
const FILE_TYPES: [(&str, u32); 17] = [
    ("f32", 0),
    ("f16", 1),
    ("q4_0", 2),
    ("q4_1", 3),
    ("q8_0", 7),
    ("q5_0", 8),
    ("q5_1", 9),
    ("q2_k", 10),
    ("q3_k", 11),
    ("q4_k", 14),
    ("q4_k_m", 15),
    ("q5_k", 16),
    ("q5_k_m", 17),
    ("q6_k", 18),
    ("iq4_nl", 25),
    ("iq4_xs", 30),
    ("bf16", 32),
];

/// What takes the place of a format whose blocks are longer than a row is.
const FALLBACKS: [(&str, &str); 6] = [
    ("q2_k", "iq4_nl"),
    ("q3_k", "iq4_nl"),
    ("q4_k", "q5_0"),
    ("q5_k", "q5_1"),
    ("q6_k", "q8_0"),
    ("iq4_xs", "iq4_nl"),
];

/// What recipes know of a model.
#[derive(Clone, Copy)]
pub(super) struct Outline {
    pub(super) layers: usize,
    /// Whether the table of embeddings is the scores' matrix, too.
    pub(super) is_tied: bool,
}

/// What tensors become.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// What most matrices become.
    base: &'static Format,
    /// What the more important ones become.
    better: &'static Format,
    /// The number of `general.file_type`.
    pub(crate) file_type: u32,
}

impl Recipe {
    /// The recipe called `name`, in capitals or not; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut types = FILE_TYPES.iter();
        let &(name, file_type) = types.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let (base, better) = match name.strip_suffix("_m") {
            Some(base) => (Format::named(base)?, Format::named("q6_k")?),
            None => (Format::named(name)?, Format::named(name)?),
        };
        base.ggml.as_ref()?;
        Some(Self {
            name,
            base,
            better,
            file_type,
        })
    }

    /// The names there are.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let names = FILE_TYPES.iter().map(|(name, _)| *name);
        names.filter(|name| Self::named(name).is_some()).collect()
    }

    /// The format of the tensor that Hugging Face calls `name`.
    pub(super) fn format(&self, name: &str, shape: &[usize], model: Outline) -> &'static Format {
        let columns = shape.last().copied().unwrap_or(1);
        let module = name.strip_suffix(".weight").unwrap_or(name);
        // Small errors in a router's scores change experts, in an indexer's keys.
        if shape.len() < 2
            || module.ends_with("norm")
            || module.ends_with("mlp.gate")
            || module.ends_with("weights_proj")
        {
            return &formats::F32;
        }
        let is_half_of_values =
            |module: &str| module.ends_with("v_proj") || module.ends_with("down_proj");
        let wanted = if module.ends_with("kv_b_proj")
            || module.ends_with(".k_b_proj")
            || module.ends_with(".v_b_proj")
        {
            // Small, and every score and every value goes through them.
            self.at_least_8_bits()
        } else if module == "lm_head"
            || model.is_tied && module == "model.embed_tokens"
            || is_half_of_values(module) && is_important(layer_of(name), model.layers)
        {
            self.better
        } else {
            self.base
        };
        fitting(wanted, columns)
    }

    fn at_least_8_bits(&self) -> &'static Format {
        if self.base.planes.iter().sum::<usize>() < self.base.block {
            &formats::Q8_0
        } else {
            self.base
        }
    }
}

/// The layers of a mixture that get more bits: the first and the last eighth, and every third between.
fn is_important(layer: Option<usize>, layers: usize) -> bool {
    let eighth = layers / 8;
    layer
        .is_some_and(|layer| layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2)
}

/// `format`, or what stands in for it where rows are not whole blocks.
fn fitting(format: &'static Format, columns: usize) -> &'static Format {
    let fits = |format: &Format| {
        let ggml = format.ggml.as_ref();
        ggml.is_some_and(|ggml| columns.is_multiple_of(ggml.weights))
    };
    let fallback = FALLBACKS.iter().find(|(name, _)| *name == format.name);
    let fallback = fallback.and_then(|(_, name)| Format::named(name));
    [Some(format), fallback]
        .into_iter()
        .flatten()
        .find(|format| fits(format))
        .unwrap_or(&formats::F16)
}

/// The layer that a tensor belongs to.
pub(super) fn layer_of(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("model.layers.")?;
    rest.split('.').next()?.parse().ok()
}

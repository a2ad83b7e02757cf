use super::pad::pad_for_shards;
use super::{Columns, rms_norm};
use crate::gpu::{Pass, Tensor, Tiers, Weight};

/// Rows that matrices are multiplied with: as they are, or normalised by each kernel that reads them, which costs no
/// launch.
#[derive(Clone)]
pub struct Input {
    /// The rows.
    pub x: Tensor, // [tokens, inner]
    /// What they are normalised with.
    pub norm: Option<Norm>,
}

/// Root mean square normalisation (RMSNorm, arXiv 1910.07467).
#[derive(Clone)]
pub struct Norm {
    /// A factor per column.
    pub gain: Tensor, // [inner]
    /// What is added to the mean square.
    pub epsilon: f32,
}

impl From<&Tensor> for Input {
    fn from(x: &Tensor) -> Self {
        Self {
            x: x.clone(),
            norm: None,
        }
    }
}

impl From<&Self> for Input {
    fn from(input: &Self) -> Self {
        input.clone()
    }
}

/// What a kernel that links `shaders/lib/inputs.wgsl` binds for a shard.
pub(super) struct Operands {
    /// The rows, padded as the shard's are.
    pub(super) x: Tensor,
    /// The norm's gain, padded likewise; the rows again where there is no norm.
    pub(super) gain: Tensor,
}

/// Columns of rows with which a product takes no longer than a launch takes to begin, on a software adapter.
const SHORT_ROW: usize = 256;

impl Input {
    /// Most tokens whose rows of `width` are better read a token at a time, and normalised by each kernel that does.
    pub fn few(tiers: Tiers, width: usize) -> usize {
        if tiers.software && width <= SHORT_ROW {
            2
        } else {
            1
        }
    }

    /// The rows themselves, normalised by a launch of its own where they are to be.
    pub fn rows(&self, pass: &mut Pass) -> Tensor {
        let Some(Norm { gain, epsilon }) = &self.norm else {
            return self.x.clone();
        };
        let [width] = gain.dims();
        rms_norm(pass, &self.x, Columns { offset: 0, width }, gain, *epsilon)
    }

    /// `[tokens, inner]`
    #[track_caller]
    pub(super) fn dims(&self) -> [usize; 2] {
        self.x.dims()
    }

    /// What the kernel's `params.epsilon` is.
    pub(super) fn epsilon(&self) -> f32 {
        self.norm.as_ref().map_or(0.0, |norm| norm.epsilon)
    }

    /// What the kernel's `NORMED` is.
    pub(super) fn normed(&self) -> (&'static str, u32) {
        ("NORMED", u32::from(self.norm.is_some()))
    }

    /// What to bind for each shard of `weight`.
    #[track_caller]
    pub(super) fn operands(&self, pass: &mut Pass, weight: &Weight) -> Vec<Operands> {
        let rows = pad_for_shards(pass, &self.x, weight);
        let gains = match &self.norm {
            None => rows.clone(),
            Some(norm) => pad_for_shards(pass, &norm.gain, weight),
        };
        let both = rows.into_iter().zip(gains);
        both.map(|(x, gain)| Operands { x, gain }).collect()
    }
}

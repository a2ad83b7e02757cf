//! One function per kernel: it checks the shapes, makes room for the result and launches.
//!
//! Ops take tensors and weights, never a batch or a cache.

mod absorb_query;
mod argmax;
mod attend;
mod combine;
mod draw;
mod embedding;
mod expert_down;
mod expert_gate_up;
mod expert_gate_up_grouped;
mod expert_matmul;
mod expert_matrix;
mod fill_ids;
mod gate_up;
mod gather;
mod group_by_expert;
mod grouped_attention;
mod index_scores;
mod input;
mod latent_attention;
mod matmul;
mod matmul_heads;
mod matmul_matrix;
mod matrix_operands;
mod merge_heads;
mod pad;
mod rms_norm;
mod rope;
mod route;
mod select_keys;
mod store_heads;
mod store_index;
mod store_latent;
mod swiglu;

pub use absorb_query::absorb_query;
pub use argmax::{NOT_FINITE, argmax};
pub use attend::{Keys, Splits};
pub use combine::add_combined;
pub use draw::{DRAW_WORDS, Draw, draw};
pub use embedding::embedding;
pub use expert_down::add_expert_down;
pub use expert_gate_up::expert_gate_up;
pub use expert_gate_up_grouped::expert_gate_up_grouped;
pub use expert_matmul::expert_matmul;
pub use fill_ids::{UNKNOWN_ID, fill_ids};
pub use gate_up::gate_up;
pub use gather::gather;
pub use group_by_expert::{Groups, group_by_expert};
pub use grouped_attention::{KeyHeads, MOST_HEAD_COLUMNS, grouped_attention};
pub use index_scores::{IndexQueries, index_scores};
pub use input::{Input, Norm};
pub use latent_attention::{LatentParts, latent_attention};
pub use matmul::{add_matmul, matmul, matmul_blocked, matmul_few, matmul_few_rows};
pub use matmul_heads::{HeadSlices, matmul_heads, matmul_heads_blocked, matmul_heads_few};
pub use matmul_matrix::matmul_matrix;
pub use matrix_operands::{Operands, matrix_lanes, matrix_operands, matrix_tile};
pub use merge_heads::merge_heads;
pub use pad::pad;
pub use rms_norm::{Columns, rms_norm};
pub use rope::{Pairing, RopeColumns, rope};
pub use route::{GroupScore, Routes, RoutingRule, Scoring, route};
pub use select_keys::{Chosen, select_keys};
pub use store_heads::{HeadNorms, JoinedHeads, store_heads};
pub use store_index::{Centring, store_index};
pub use store_latent::{LatentColumns, Latents, store_latent};
pub use swiglu::swiglu;

use matmul_heads::head_lanes;

use crate::gpu::{Constant, Tiers};

/// Lanes of a workgroup that works alone on a row.
///
/// Software adapters switch between lanes at every barrier, so there a row belongs to few of
/// them. Not to one: Mesa's ends a lane's loops for good after 65,535 iterations in all.
fn row_lanes(tiers: Tiers) -> u32 {
    if tiers.software {
        tiers.subgroup_size.max(8)
    } else {
        256
    }
}

/// Values of `WORKGROUP_SIZE` and `LANES` for kernels in which groups of lanes share a dot product, the default
/// first.
///
/// A workgroup has at least a subgroup's lanes.
fn lane_groups(tiers: Tiers) -> Vec<[u32; 2]> {
    match tiers {
        Tiers { software: true, .. } => vec![[8, 1], [8, 8], [16, 1], [32, 1]],
        Tiers {
            subgroup_size: 0, ..
        } => vec![[64, 32], [64, 16], [128, 32], [64, 64], [256, 32]],
        Tiers {
            subgroup_size: width,
            ..
        } => {
            let least = 64.max(width);
            let half = (width / 2).max(1);
            let narrow = [[width, width], [least, half], [least, least]];
            let mut groups = vec![[least, width], [2 * least, width], [256, width]];
            for group in narrow {
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            groups
        }
    }
}

/// `WORKGROUP_SIZE` and `LANES` of kernels in which groups of lanes share a dot product.
fn dot_lanes(tiers: Tiers) -> [Constant; 2] {
    named_lanes(lane_groups(tiers)[0])
}

fn named_lanes([workgroup, lanes]: [u32; 2]) -> [Constant; 2] {
    [("WORKGROUP_SIZE", workgroup), ("LANES", lanes)]
}

/// Workgroups of a kernel with such `constants`, each group of lanes taking `each` of `count` values.
fn dot_groups(constants: &[Constant], count: usize, each: usize) -> usize {
    let [(_, workgroup), (_, lanes)] = constants else {
        unreachable!("`named_lanes` gives two")
    };
    count.div_ceil(each * (workgroup / lanes) as usize)
}

/// How kernels of many tokens divide their work: each workgroup computes a block, as `lib/block` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Most tokens of a block.
    pub tokens: usize,
    /// Rows of the weight of a block.
    pub rows: usize,
    lanes: u32,
}

impl Blocks {
    /// For a product of `tokens` tokens.
    pub(super) fn of_tokens(tiers: Tiers, tokens: usize) -> Self {
        Self::best(tiers, |height| tokens.next_multiple_of(height))
    }

    /// For `entries` of `experts`, some of which have more than others.
    pub(super) fn of_experts(tiers: Tiers, entries: usize, experts: usize) -> Self {
        // An expert's last block is half full on average.
        Self::best(tiers, |height| entries + experts.min(entries) * height / 2)
    }

    /// The height that costs least, where blocks of it have room for `room` tokens in all.
    fn best(tiers: Tiers, room: impl Fn(usize) -> usize) -> Self {
        // Reading the weights of a block takes as long as computing with so many tokens.
        let (heights, reading): (&[usize], usize) = if tiers.software {
            (&[16, 8], 6)
        } else {
            (&[64, 32], 24)
        };
        let cost = |height: &&usize| room(**height) * (**height + reading) * (64 / **height);
        let tokens = heights
            .iter()
            .min_by_key(cost)
            .copied()
            .unwrap_or(heights[0]);
        Self {
            tokens,
            rows: if tiers.software { 32 } else { 64 },
            lanes: if tiers.software { 8 } else { 128 },
        }
    }

    /// The `override`s of kernels that compute blocks.
    pub(super) fn constants(self) -> [(&'static str, u32); 2] {
        [
            ("WORKGROUP_SIZE", self.lanes),
            ("BLOCK_TOKENS", self.tokens as u32),
        ]
    }
}

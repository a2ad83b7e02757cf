//! One function per kernel: it checks the shapes, makes room for the result and launches.
//!
//! Ops take tensors and weights, never a batch or a cache.

mod add_rms_norm;
mod argmax;
mod combine;
mod embedding;
mod expert_down;
mod expert_gate_up;
mod expert_matmul;
mod gather;
mod group_by_expert;
mod grouped_attention;
mod index_scores;
mod latent_attention;
mod matmul;
mod matmul_heads;
mod merge_splits;
mod pack_rows;
mod pad;
mod rms_norm;
mod rope;
mod route;
mod select_keys;
mod store_heads;
mod store_index;
mod store_latent;
mod swiglu;

pub use add_rms_norm::add_rms_norm;
pub use argmax::{NOT_FINITE, argmax};
pub use combine::combine;
pub use embedding::embedding;
pub use expert_down::expert_down;
pub use expert_gate_up::expert_gate_up;
pub use expert_matmul::expert_matmul;
pub use gather::gather;
pub use group_by_expert::{Groups, group_by_expert};
pub use grouped_attention::{MOST_HEAD_COLUMNS, grouped_attention};
pub use index_scores::{IndexQueries, index_scores};
pub use latent_attention::{Keys, Splits, latent_attention};
pub use matmul::{matmul, matmul_blocked, matmul_few};
pub use matmul_heads::{HeadSlices, matmul_heads};
pub use merge_splits::merge_splits;
pub use pack_rows::pack_rows;
pub use pad::pad;
pub use rms_norm::{Columns, rms_norm};
pub use rope::{Pairing, RopeColumns, rope};
pub use route::{GroupScore, Routes, RoutingRule, Scoring, route};
pub use select_keys::{Chosen, select_keys};
pub use store_heads::{HeadNorms, JoinedHeads, store_heads};
pub use store_index::{Centring, store_index};
pub use store_latent::{LatentColumns, store_latent};
pub use swiglu::swiglu;

use crate::gpu::Tiers;

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

/// `WORKGROUP_SIZE` and `LANES` of kernels in which groups of lanes share a dot product.
fn dot_lanes(tiers: Tiers) -> [(&'static str, u32); 2] {
    let (workgroup, lanes) = match tiers {
        Tiers { software: true, .. } => (8, 1),
        Tiers {
            subgroup_size: 0, ..
        } => (64, 32),
        Tiers { subgroup_size, .. } => (64.max(subgroup_size), subgroup_size),
    };
    [("WORKGROUP_SIZE", workgroup), ("LANES", lanes)]
}

/// Workgroups of a kernel with `dot_lanes`, each group of lanes taking `each` of `count` values.
fn dot_groups(tiers: Tiers, count: usize, each: usize) -> usize {
    let [(_, workgroup), (_, lanes)] = dot_lanes(tiers);
    count.div_ceil(each * (workgroup / lanes) as usize)
}

//! Every op on the GPU against its reference, at shapes that break wrong kernels.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/golden_blocks.rs"]
mod golden_blocks;
#[path = "../reference/mod.rs"]
mod reference;

mod absorb;
mod attention;
mod context;
mod decoding;
mod device;
mod drawing;
mod experts;
mod grouped;
mod indexer;
mod lanes;
mod layer;
mod matmul;
mod matrix;
mod packed;
mod profile;
mod recording;
mod rotary;
mod routing;
mod rows;
mod shards;

/// Rounding of f32 sums, relative to the largest value.
const ROUNDING: f32 = 1e-5;
/// The same with exponentials, of which WGSL asks less.
const EXPONENTIAL: f32 = 5e-5;

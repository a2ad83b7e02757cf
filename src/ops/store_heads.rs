use bytemuck::{Pod, Zeroable};

use super::{Pairing, RopeColumns};
use crate::gpu::{Dispatch, Pass, Tensor};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    offset: u32,
    pairs: u32,
    half_split: u32,
    epsilon: f32,
}

/// What becomes of a joined projection: heads of queries, then of keys, then of values.
#[derive(Clone, Copy)]
pub struct JoinedHeads<'a> {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys, and as many of values.
    pub kv_heads: usize,
    /// What is added to every row, if anything.
    pub bias: Option<&'a Tensor>, // [(heads + 2 * kv_heads) * head_dim]
    /// How queries and keys are normalised, if they are.
    pub norms: Option<HeadNorms<'a>>,
    /// The columns of a query or key that turn.
    pub rotary: RopeColumns,
}

/// RMSNorm of every head of its own.
#[derive(Clone, Copy)]
pub struct HeadNorms<'a> {
    /// The gain of queries.
    pub q_gain: &'a Tensor, // [head_dim]
    /// The gain of keys.
    pub k_gain: &'a Tensor, // [head_dim]
    /// What is added to the mean squares.
    pub epsilon: f32,
}

/// Adds the bias, normalises and rotates queries and keys, and puts keys and values into the cache.
///
/// `x: [tokens, (heads + 2 * kv_heads) * head_dim]`, `rotations: [tokens, pairs, 2]`,
/// `slots: [tokens]` of u32, `cache: [slots, 2 * kv_heads * head_dim]`, keys before values
/// → the queries, `[tokens, heads, head_dim]`
#[track_caller]
pub fn store_heads(
    pass: &mut Pass,
    x: &Tensor,
    joined: &JoinedHeads,
    rotations: &Tensor,
    slots: &Tensor,
    cache: &Tensor,
) -> Tensor {
    let JoinedHeads {
        heads,
        kv_heads,
        bias,
        norms,
        rotary: RopeColumns { offset, pairing },
    } = *joined;
    let [tokens, stride] = x.dims();
    let all = heads + 2 * kv_heads;
    assert!(
        stride.is_multiple_of(all),
        "{all} heads in {stride} columns"
    );
    let head_dim = stride / all;
    let [_, pairs, _] = rotations.dims();
    assert_eq!(rotations.dims(), [tokens, pairs, 2]);
    assert_eq!(slots.dims(), [tokens]);
    assert_eq!(cache.dims::<2>()[1], 2 * kv_heads * head_dim);
    assert!(
        offset + 2 * pairs <= head_dim,
        "{pairs} pairs from {offset} of {head_dim}"
    );
    assert!(bias.is_none_or(|bias| bias.dims() == [stride]));
    for gain in norms.iter().flat_map(|norms| [norms.q_gain, norms.k_gain]) {
        assert_eq!(gain.dims(), [head_dim]);
    }

    let q = pass.tensor(&[tokens, heads, head_dim]);
    pass.dispatch(Dispatch {
        kernel: kernel!("store_heads"),
        constants: &[
            (
                "WORKGROUP_SIZE",
                if pass.gpu.tiers.software {
                    super::row_lanes(pass.gpu.tiers)
                } else {
                    64
                },
            ),
            ("BIAS", u32::from(bias.is_some())),
            ("NORM", u32::from(norms.is_some())),
        ],
        params: Params {
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            head_dim: head_dim as u32,
            offset: offset as u32,
            pairs: pairs as u32,
            half_split: u32::from(pairing == Pairing::HalfSplit),
            epsilon: norms.map_or(0.0, |norms| norms.epsilon),
        },
        // Something must be bound where nothing is read.
        inputs: &[
            x,
            bias.unwrap_or(x),
            norms.map_or(x, |norms| norms.q_gain),
            norms.map_or(x, |norms| norms.k_gain),
            rotations,
            slots,
        ],
        weight: None,
        outputs: &[&q, cache],
        workgroups: [all, tokens, 1],
    });
    q
}

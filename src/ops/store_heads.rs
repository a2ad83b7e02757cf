use bytemuck::{Pod, Zeroable};

use super::{KeyHeads, Pairing, RopeColumns, row_lanes};
use crate::gpu::{Cache, Dispatch, Pass, Tensor, Tiers};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    width: u32,
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

impl JoinedHeads<'_> {
    /// The kernel's parameters for rows of `stride` columns, of which `pairs` pairs of a head turn.
    #[track_caller]
    fn params(&self, stride: usize, pairs: usize) -> Params {
        let all = self.heads + 2 * self.kv_heads;
        assert!(
            stride.is_multiple_of(all),
            "{all} heads in {stride} columns"
        );
        let head_dim = stride / all;
        let RopeColumns { offset, pairing } = self.rotary;
        assert!(
            offset + 2 * pairs <= head_dim,
            "{pairs} pairs from {offset} of {head_dim}"
        );
        assert!(self.bias.is_none_or(|bias| bias.dims() == [stride]));
        if let Some(norms) = self.norms {
            assert_eq!(norms.q_gain.dims(), [head_dim]);
            assert_eq!(norms.k_gain.dims(), [head_dim]);
        }
        Params {
            heads: self.heads as u32,
            kv_heads: self.kv_heads as u32,
            head_dim: head_dim as u32,
            width: head_dim.next_multiple_of(8) as u32,
            offset: offset as u32,
            pairs: pairs as u32,
            half_split: u32::from(pairing == Pairing::HalfSplit),
            epsilon: self.norms.map_or(0.0, |norms| norms.epsilon),
        }
    }
}

/// Adds the bias, normalises and rotates queries and keys, and puts keys and values into the cache.
///
/// `x: [tokens, (heads + 2 * kv_heads) * head_dim]`, `rotations: [tokens, pairs, 2]`,
/// `slots: [tokens]` of u32, `cache: [slots, 2 * kv_heads * width]`, keys before values
/// → the queries, `[tokens, heads, width]`, where zeros fill heads up as [`KeyHeads`] says
#[track_caller]
pub fn store_heads(
    pass: &mut Pass,
    x: &Tensor,
    joined: &JoinedHeads,
    rotations: &Tensor,
    slots: &Tensor,
    cache: &Cache,
) -> Tensor {
    let JoinedHeads {
        heads,
        kv_heads,
        bias,
        norms,
        ..
    } = *joined;
    let [tokens, stride] = x.dims();
    let [_, pairs, _] = rotations.dims();
    let params = joined.params(stride, pairs);
    let key_heads = KeyHeads {
        count: kv_heads,
        columns: params.head_dim as usize,
    };
    assert_eq!(rotations.dims(), [tokens, pairs, 2]);
    assert_eq!(slots.dims(), [tokens]);
    assert_eq!(cache.width, key_heads.row());

    let q = pass.tensor(&[tokens, heads, key_heads.width()]);
    let group = whole_blocks(key_heads.width());
    pass.dispatch(Dispatch {
        kernel: kernel!("store_heads").over(cache.kind),
        constants: &[
            ("WORKGROUP_SIZE", lanes(pass.gpu.tiers)),
            ("BIAS", u32::from(bias.is_some())),
            ("NORM", u32::from(norms.is_some())),
            ("GROUP", group as u32),
        ],
        params,
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
        outputs: &[&q, &cache.rows],
        workgroups: [
            heads.div_ceil(group) + (2 * kv_heads).div_ceil(group),
            tokens,
            1,
        ],
    });
    q
}

/// The fewest heads of `width` columns that are whole blocks of 32, in which the cache is written.
fn whole_blocks(width: usize) -> usize {
    (1..=32)
        .find(|heads| (heads * width).is_multiple_of(32))
        .expect("four at most, for widths are multiples of 8")
}

/// Lanes for a row as short as a head.
fn lanes(tiers: Tiers) -> u32 {
    row_lanes(tiers).min(64)
}

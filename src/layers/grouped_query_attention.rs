use super::{Batch, LayerCache, Linear, RmsNorm};
use crate::gpu::{Pass, Tensor};
use crate::ops::{self, HeadNorms, JoinedHeads, Pairing, RopeColumns};

/// Grouped-query attention (GQA, arXiv 2305.13245), as in Qwen and Llama.
///
/// The cache holds keys and then values of a token, `2 * kv_heads * head_dim` columns in all.
pub struct GroupedQueryAttention {
    /// `q_proj` above `k_proj` above `v_proj`, so that one launch reads all three.
    pub qkv_proj: Linear, // [(heads + 2 * kv_heads) * head_dim, hidden]
    /// Their biases, in the same order.
    pub qkv_bias: Option<Tensor>, // [(heads + 2 * kv_heads) * head_dim]
    /// Normalises each head's query; there if `k_norm` is, with the same epsilon.
    pub q_norm: Option<RmsNorm>,
    /// Normalises each head's key.
    pub k_norm: Option<RmsNorm>,
    /// Heads back to the residual stream.
    pub o_proj: Linear, // [hidden, heads * head_dim]
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and of values, which divide `heads`.
    pub kv_heads: usize,
    /// Columns of a head: a multiple of 4, at most [`ops::MOST_HEAD_COLUMNS`].
    pub head_dim: usize,
    /// Which of a head's first columns turn together; the batch's rotations say how many do.
    pub pairing: Pairing,
    /// What scores are multiplied with.
    pub softmax_scale: f32,
}

impl GroupedQueryAttention {
    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    #[track_caller]
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: &Tensor,
        batch: &Batch,
        cache: &LayerCache,
    ) -> Tensor {
        let [tokens, _] = x.dims();
        assert_eq!(self.q_norm.is_some(), self.k_norm.is_some());
        let norms = self.q_norm.as_ref().zip(self.k_norm.as_ref());
        let joined = JoinedHeads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            bias: self.qkv_bias.as_ref(),
            norms: norms.map(|(q, k)| HeadNorms {
                q_gain: &q.gain,
                k_gain: &k.gain,
                epsilon: q.epsilon,
            }),
            rotary: RopeColumns {
                offset: 0,
                pairing: self.pairing,
            },
        };
        let qkv = self.qkv_proj.forward(pass, x); // [tokens, (heads + 2 * kv_heads) * head_dim]
        let q = ops::store_heads(
            pass,
            &qkv,
            &joined,
            &batch.rotations,
            &batch.slots,
            &cache.rows,
        ); // [tokens, heads, head_dim]
        let keys = batch.keys(&cache.rows);
        let splits = batch.splits(pass.gpu.tiers);
        let values =
            ops::grouped_attention(pass, &q, &keys, self.kv_heads, splits, self.softmax_scale);
        self.o_proj
            .forward(pass, &values.reshape(&[tokens, self.heads * self.head_dim]))
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.qkv_proj.bytes() + self.o_proj.bytes()
    }
}

use super::{Batch, LayerCache, Linear, RmsNorm};
use crate::gpu::{Pass, Tensor};
use crate::ops::{self, HeadNorms, Input, JoinedHeads, KeyHeads, Pairing, RopeColumns};

/// Grouped-query attention (GQA, arXiv 2305.13245), as in Qwen and Llama.
///
/// The cache holds keys and then values of a token, as [`KeyHeads`] says.
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
    /// Adds what the tokens attend to to the residual stream.
    ///
    /// `x: [tokens, hidden]`, `residual: [tokens, hidden]`
    #[track_caller]
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: &Input,
        batch: &Batch,
        cache: &LayerCache,
        residual: &Tensor,
    ) {
        let [tokens, _] = x.x.dims();
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
        ); // [tokens, heads, width]
        let keys = batch.keys(&cache.rows);
        let splits = batch.splits(pass.gpu.tiers);
        let key_heads = KeyHeads {
            count: self.kv_heads,
            columns: self.head_dim,
        };
        let values = ops::grouped_attention(
            pass,
            &q,
            &keys,
            key_heads,
            splits,
            &batch.tickets,
            self.softmax_scale,
        ); // [tokens, heads, head_dim]
        let values = values.reshape(&[tokens, self.heads * self.head_dim]);
        self.o_proj.add_forward(pass, &values, residual);
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.qkv_proj.bytes() + self.o_proj.bytes()
    }
}

use super::{Batch, Indexer, LayerCache, Linear, RmsNorm};
use crate::gpu::{Pass, Tensor, Weight};
use crate::ops::{self, Chosen, Input, LatentColumns, Latents};

/// Multi-head latent attention (MLA; DeepSeek-V2, arXiv 2405.04434).
///
/// The cache holds one latent vector per token instead of keys and values per head. `k_up`
/// and `v_up`, the two halves of the checkpoint's `kv_b_proj`, are applied to the query and
/// to the result, so nothing is ever decompressed.
pub struct LatentAttention {
    /// How queries are made.
    pub query: QueryProjection,
    /// Normalises the latent.
    pub kv_a_norm: RmsNorm,
    /// Folds a head's position-free query into the latent's space; rows beyond the latent are zeros.
    pub k_up: Weight, // [heads, latent_stride, nope]
    /// A head's values from the latent's space; columns beyond the latent are zeros.
    pub v_up: Weight, // [heads, value, latent_stride]
    /// What chooses the keys that tokens attend to; all if there is none.
    pub indexer: Option<Box<Indexer>>,
    /// Heads back to the residual stream.
    pub o_proj: Linear, // [hidden, heads * value]
    /// Query columns without position, before those with it.
    pub nope: usize,
    /// What scores are multiplied with.
    pub softmax_scale: f32,
}

/// The projections from the residual stream.
pub enum QueryProjection {
    /// Directly, as in DeepSeek-V2-Lite.
    Full {
        /// To the heads' queries.
        q_proj: Linear, // [heads * (nope + rope), hidden]
        /// To the latent and the rotary key.
        kv_a_proj: Linear, // [latent + rope, hidden]
    },
    /// Through a vector of low rank.
    LowRank {
        /// `q_a_proj` above `kv_a_proj_with_mqa`, so that one launch reads both.
        qkv_a_proj: Linear, // [rank + latent + rope, hidden]
        /// Normalises the low-rank vector.
        q_a_norm: RmsNorm,
        /// To the heads' queries.
        q_b_proj: Linear, // [heads * (nope + rope), rank]
    },
}

/// What the projections give.
struct Projected {
    q: Tensor, // [tokens, heads * (nope + rope)]
    /// Holds latent and rotary key from column `offset` on.
    kv: Tensor, // [tokens, ..]
    offset: usize,
    /// What the queries were made of.
    low_rank: Option<Input>, // [tokens, rank]
}

impl QueryProjection {
    fn forward(&self, pass: &mut Pass, x: &Input) -> Projected {
        match self {
            Self::Full { q_proj, kv_a_proj } => Projected {
                q: q_proj.forward(pass, x),
                kv: kv_a_proj.forward(pass, x),
                offset: 0,
                low_rank: None,
            },
            Self::LowRank {
                qkv_a_proj,
                q_a_norm,
                q_b_proj,
            } => {
                let both = qkv_a_proj.forward(pass, x); // [tokens, rank + latent + rope]
                let low_rank = q_a_norm.forward(pass, &both); // [tokens, rank]
                let [_, rank] = low_rank.x.dims();
                Projected {
                    q: q_b_proj.forward(pass, &low_rank),
                    kv: both,
                    offset: rank,
                    low_rank: Some(low_rank),
                }
            }
        }
    }
}

impl LatentAttention {
    /// Adds what the tokens attend to to the residual stream.
    ///
    /// `x: [tokens, hidden]`, `residual: [tokens, hidden]`
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: &Input,
        batch: &Batch,
        cache: &LayerCache,
        residual: &Tensor,
    ) {
        let [tokens, _] = x.x.dims();
        let [_, pairs, _] = batch.rotations.dims();
        let (heads, latent) = (self.k_up.count, self.k_up.rows);

        let Projected {
            q,
            kv,
            offset,
            low_rank,
        } = self.query.forward(pass, x);
        let chosen = self.choose(pass, x, low_rank, batch, cache);
        let q = q.reshape(&[tokens, heads, self.nope + 2 * pairs]);
        let latents = Latents {
            kv: &kv,
            columns: LatentColumns {
                offset,
                rope_start: latent,
            },
            gain: &self.kv_a_norm.gain,
            epsilon: self.kv_a_norm.epsilon,
            rotations: &batch.rotations,
            slots: &batch.slots,
            cache: &cache.rows,
        };
        let q = ops::absorb_query(pass, &q, &self.k_up, &latents); // [tokens, heads, width]

        let keys = match &chosen {
            Some(chosen) => chosen.keys(&cache.rows),
            None => batch.keys(&cache.rows),
        };
        let splits = batch.splits(pass.gpu.tiers);
        let parts = ops::latent_attention(pass, &q, &keys, latent, splits, self.softmax_scale);
        let values = ops::merge_heads(pass, &parts, &self.v_up); // [tokens, heads, value]
        let values = values.reshape(&[tokens, heads * self.v_up.rows]);
        self.o_proj.add_forward(pass, &values, residual);
    }

    /// The keys that the tokens attend to, where that is not all of them.
    fn choose(
        &self,
        pass: &mut Pass,
        x: &Input,
        low_rank: Option<Input>,
        batch: &Batch,
        cache: &LayerCache,
    ) -> Option<Chosen> {
        let (indexer, index) = (self.indexer.as_ref()?, cache.index.as_ref()?);
        indexer.forward(pass, x, &low_rank?, batch, index)
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        let projections = match &self.query {
            QueryProjection::Full { q_proj, kv_a_proj } => q_proj.bytes() + kv_a_proj.bytes(),
            QueryProjection::LowRank {
                qkv_a_proj,
                q_b_proj,
                ..
            } => qkv_a_proj.bytes() + q_b_proj.bytes(),
        };
        let indexer = self.indexer.as_ref().map_or(0, |indexer| indexer.bytes());
        projections + indexer + self.k_up.bytes() + self.v_up.bytes() + self.o_proj.bytes()
    }
}

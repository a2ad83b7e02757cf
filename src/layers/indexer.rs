use super::{Batch, Linear};
use crate::gpu::{Cache, Pass, Tensor};
use crate::ops::{self, Centring, Chosen, IndexQueries, Input, Pairing, RopeColumns};

/// Bytes of scores that are kept at a time, at most.
const SCORES: u64 = 64 << 20;

/// Chooses the keys that tokens attend to: the indexer of DeepSeek-V3.2's sparse attention.
pub struct Indexer {
    /// From the low-rank vector that queries are made of.
    pub q_proj: Linear, // [heads * width, rank]
    /// `wk` above `weights_proj`, so that one launch reads both.
    pub k_weights_proj: Linear, // [width + heads, hidden]
    /// Normalises keys.
    pub k_gain: Tensor, // [width]
    /// The same.
    pub k_bias: Tensor, // [width]
    /// What is added to a key's variance.
    pub epsilon: f32,
    /// Heads that score.
    pub heads: usize,
    /// Keys that a token attends to, at most.
    pub most: usize,
}

impl Indexer {
    /// Puts the tokens' keys into the cache and chooses among all; `None` where none can have too many.
    ///
    /// `x: [tokens, hidden]`, `low_rank: [tokens, rank]`
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: &Input,
        low_rank: &Input,
        batch: &Batch,
        cache: &Cache,
    ) -> Option<Chosen> {
        let [tokens, _] = x.x.dims();
        let capacity = batch.shape.blocks_per_sequence * batch.block;
        if capacity <= self.most {
            return None;
        }
        let (heads, width) = (self.heads, cache.width);
        let both = self.k_weights_proj.forward(pass, x); // [tokens, width + heads]
        let norm = Centring {
            gain: &self.k_gain,
            bias: &self.k_bias,
            epsilon: self.epsilon,
        };
        ops::store_index(pass, &both, norm, &batch.rotations, &batch.slots, cache);

        let q = self.q_proj.forward(pass, low_rank);
        let q = q.reshape(&[tokens, heads, width]);
        let rotary = RopeColumns {
            offset: 0,
            pairing: Pairing::HalfSplit,
        };
        ops::rope(pass, &q, &batch.rotations, rotary);
        let queries = IndexQueries {
            q: &q,
            weights: &both,
            offset: width,
            scale: ((heads * width) as f32).sqrt().recip(),
        };
        let keys = batch.keys(cache);
        let chosen = Chosen::new(pass, tokens, self.most);
        // A long context has so many scores that few tokens' fit.
        let fit = SCORES.min(pass.gpu.binding_limit) / (4 * capacity as u64);
        let step = (fit as usize).max(1);
        for first in (0..tokens).step_by(step) {
            let some = first..tokens.min(first + step);
            let scores = ops::index_scores(pass, queries, &keys, some, self.most);
            ops::select_keys(pass, &scores, &keys, first, &chosen);
        }
        Some(chosen)
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.q_proj.bytes() + self.k_weights_proj.bytes()
    }
}

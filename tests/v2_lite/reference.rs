//! The model on the processor, in f64, with weights that are read when they are needed.

use pollster::block_on;
use tiefsee::checkpoint::Checkpoint;
use tiefsee::reference::{
    GroupScore, HeadShape, Mlp, Routing, Scoring, Yarn, add, matmul, mlp, naive_attention,
    rms_norm, rope_frequencies, rope_interleaved, route, yarn_magnitude,
};

use super::file::{EXPERTS, EXPERTS_PER_TOKEN, HEADS, HIDDEN, LATENT, LAYERS, NOPE, ROPE, VALUE};
use super::rows::{causal, join, split};

/// Rows of a matrix that are decoded at a time.
const SLAB: usize = 2048;
const EPSILON: f64 = 1e-6;

/// Scores after each of `tokens`: `[tokens, vocabulary]`.
pub(crate) fn scores(checkpoint: &Checkpoint, tokens: &[u32]) -> Vec<f32> {
    let weights = Weights(checkpoint);
    let mut x = weights.rows_of("model.embed_tokens", tokens);
    for layer in 0..LAYERS {
        x = weights.layer(layer, &x, tokens.len());
    }
    let normed = weights.norm(&x, "model.norm");
    let scores = weights.product(&normed, "lm_head", HIDDEN);
    scores.into_iter().map(|score| score as f32).collect()
}

struct Weights<'a>(&'a Checkpoint);

impl Weights<'_> {
    /// Rows `ids` of a table.
    fn rows_of(&self, name: &str, ids: &[u32]) -> Vec<f64> {
        let table = self.0.tensor(&format!("{name}.weight")).expect(name);
        let row = |&id: &u32| block_on(table.read_rows(id as usize..id as usize + 1)).expect(name);
        widen(&ids.iter().flat_map(row).collect::<Vec<_>>())
    }

    fn all(&self, name: &str) -> Vec<f64> {
        let tensor = self.0.tensor(&format!("{name}.weight")).expect(name);
        widen(&block_on(tensor.read_all()).expect(name))
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        rms_norm(x, &self.all(name), EPSILON)
    }

    /// `x: [tokens, inner]` times the transpose of a matrix, a slab of its rows at a time.
    fn product(&self, x: &[f64], name: &str, inner: usize) -> Vec<f64> {
        let tensor = self.0.tensor(&format!("{name}.weight")).expect(name);
        let (rows, tokens) = (tensor.rows(), x.len() / inner);
        let mut y = vec![0.0; tokens * rows];
        for first in (0..rows).step_by(SLAB) {
            let part = first..rows.min(first + SLAB);
            let slab = widen(&block_on(tensor.read_rows(part.clone())).expect(name));
            let products = matmul(x, &slab, inner);
            for (token, products) in products.chunks(part.len()).enumerate() {
                y[token * rows + first..][..part.len()].copy_from_slice(products);
            }
        }
        y
    }

    fn layer(&self, layer: usize, x: &[f64], tokens: usize) -> Vec<f64> {
        let prefix = format!("model.layers.{layer}");
        let normed = self.norm(x, &format!("{prefix}.input_layernorm"));
        let attended = self.attention(&format!("{prefix}.self_attn"), &normed, tokens);
        let x = add(x, &attended);
        let normed = self.norm(&x, &format!("{prefix}.post_attention_layernorm"));
        let prefix = format!("{prefix}.mlp");
        let fed = if layer == 0 {
            self.feed_forward(&prefix, &normed)
        } else {
            self.mixture(&prefix, &normed)
        };
        add(&x, &fed)
    }

    fn attention(&self, prefix: &str, x: &[f64], tokens: usize) -> Vec<f64> {
        let name = |name: &str| format!("{prefix}.{name}");
        let yarn = Yarn {
            factor: 40.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 4096.0,
        };
        let frequencies = rope_frequencies(ROPE, 10_000.0, Some(yarn));
        let positions: Vec<u32> = (0..tokens as u32).collect();
        let turn = |x: &[f64]| rope_interleaved(x, &positions, &frequencies);

        let query = self.product(x, &name("q_proj"), HIDDEN);
        let (plain, turning) = split(&query, NOPE, ROPE);
        let query = join(&plain, NOPE, &turn(&turning), ROPE);
        let compressed = self.product(x, &name("kv_a_proj_with_mqa"), HIDDEN);
        let (latents, key) = split(&compressed, LATENT, ROPE);
        let latents = self.norm(&latents, &name("kv_a_layernorm"));
        let turned: Vec<f64> = turn(&key)
            .chunks(ROPE)
            .flat_map(|key| key.repeat(HEADS))
            .collect();
        let (keys, values) = split(
            &self.product(&latents, &name("kv_b_proj"), LATENT),
            NOPE,
            VALUE,
        );

        let shape = HeadShape {
            heads: HEADS,
            key: NOPE + ROPE,
            value: VALUE,
        };
        let visible = causal(tokens);
        let scale = ((NOPE + ROPE) as f64).powf(-0.5) * yarn_magnitude(40.0, 0.707).powi(2);
        let keys = join(&keys, NOPE, &turned, ROPE);
        let attended = naive_attention(&query, &keys, &values, &visible, shape, scale);
        self.product(&attended, &name("o_proj"), HEADS * VALUE)
    }

    fn feed_forward(&self, prefix: &str, x: &[f64]) -> Vec<f64> {
        let [gate_proj, up_proj, down_proj] =
            ["gate_proj", "up_proj", "down_proj"].map(|name| self.all(&format!("{prefix}.{name}")));
        let weights = Mlp {
            gate_proj: &gate_proj,
            up_proj: &up_proj,
            down_proj: &down_proj,
        };
        mlp(x, HIDDEN, &weights)
    }

    fn mixture(&self, prefix: &str, x: &[f64]) -> Vec<f64> {
        let routing = Routing {
            scoring: Scoring::Softmax,
            groups: 1,
            groups_kept: 1,
            experts_per_token: EXPERTS_PER_TOKEN,
            normalise: false,
            scale: 1.0,
            group_score: GroupScore::Max,
        };
        let logits = self.product(x, &format!("{prefix}.gate"), HIDDEN);
        let mut sum = self.feed_forward(&format!("{prefix}.shared_experts"), x);
        let routes = route(&logits, EXPERTS, None, &routing);
        for (token, route) in routes.iter().enumerate() {
            assert!(
                route.margin > 1e-5,
                "token {token} has a tie: {}",
                route.margin
            );
            let row = token * HIDDEN..(token + 1) * HIDDEN;
            for &(expert, share) in &route.experts {
                let prefix = format!("{prefix}.experts.{expert}");
                let output = self.feed_forward(&prefix, &x[row.clone()]);
                for (sum, output) in sum[row.clone()].iter_mut().zip(output) {
                    *sum += share * output;
                }
            }
        }
        sum
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

//! DeepSeek-V2 and V3 from a checkpoint folder, in f64 from the first sum to the last.
//!
//! One sequence, no cache, no batching: every call computes everything anew.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::config::Config;
use super::rows::{causal, join, split};
use super::tensors::read_checkpoint;
use super::{HeadShape, LatentShape, Mlp, Route};
use super::{add, embedding, latent_attention, matmul, matmul_heads, mlp, moe, naive_attention};
use super::{rms_norm, rope_interleaved, route, stored_row};

/// The epsilon of the norms inside attention, whatever the config says about the others.
const LATENT_EPSILON: f64 = 1e-6;

/// Which of two equal formulas attention uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attention {
    /// Queries go to the compressed space, once per token.
    Absorbed,
    /// The same over a cache that packs its rows in the type of that name.
    Packed(&'static str),
    /// Keys and values come out of the compressed space, for every head.
    Naive,
}

/// What a forward pass computes, one row per token.
pub struct Output {
    /// Scores of the next token: `[tokens][vocabulary]`.
    pub logits: Vec<Vec<f32>>,
    /// Expert choices: `[MoE layers][tokens]`.
    pub routes: Vec<Vec<Route<f64>>>,
    /// The input of each layer, then the input of the head: `[layers + 1]`, each `[tokens, hidden]`.
    pub hidden: Vec<Vec<f32>>,
    /// The prediction layer's scores of the token after the next, where the checkpoint has such a layer:
    /// `[tokens - 1][vocabulary]`.
    pub draft_logits: Option<Vec<Vec<f32>>>,
}

/// A model as it stands in the papers.
pub struct ReferenceModel {
    /// What config.json says.
    pub config: Config,
    weights: HashMap<String, Vec<f64>>,
}

/// One forward pass: where its tokens stand and how it attends.
struct Forward<'a> {
    model: &'a ReferenceModel,
    attention: Attention,
    routes: Vec<Vec<Route<f64>>>,
}

impl ReferenceModel {
    /// Reads a folder in Hugging Face layout.
    pub fn open(folder: &Path) -> Self {
        Self::open_with(folder, "config.json")
    }

    /// Reads a folder whose config.json has another name.
    pub fn open_with(folder: &Path, config: &str) -> Self {
        let text = fs::read_to_string(folder.join(config)).unwrap();
        let config = serde_json::from_str(&text).unwrap();
        Self {
            config,
            weights: read_checkpoint(folder),
        }
    }

    /// Runs the model over a whole sequence.
    pub fn forward(&self, tokens: &[u32], attention: Attention) -> Output {
        self.forward_at(tokens, 0, attention)
    }

    /// The same, the first token standing at `first_position` with nothing before it.
    pub fn forward_at(&self, tokens: &[u32], first_position: u32, attention: Attention) -> Output {
        let hidden_size = self.config.hidden_size;
        let positions: Vec<u32> = (first_position..).take(tokens.len()).collect();
        let mut forward = Forward {
            model: self,
            attention,
            routes: Vec::new(),
        };
        let mut states = vec![embedding(
            self.weight("model.embed_tokens"),
            hidden_size,
            tokens,
        )];
        for layer in 0..self.config.num_hidden_layers {
            states.push(forward.layer(layer, &states[layer], &positions));
        }
        let last = states.pop().unwrap();
        let normed = self.norm(&last, "model.norm");
        let logits = self.rows(&normed, "lm_head");
        let routes = std::mem::take(&mut forward.routes);
        let draft_logits = forward.draft(&normed, tokens, &positions);
        states.push(normed);
        let hidden = states.iter().map(|state| narrow(state)).collect();
        Output {
            logits,
            routes,
            hidden,
            draft_logits,
        }
    }

    /// The weights of an MLP under `prefix`.
    fn mlp(&self, prefix: &str) -> Mlp<'_, f64> {
        Mlp {
            gate_proj: self.weight(&format!("{prefix}.gate_proj")),
            up_proj: self.weight(&format!("{prefix}.up_proj")),
            down_proj: self.weight(&format!("{prefix}.down_proj")),
        }
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        rms_norm(x, self.weight(name), self.config.rms_norm_eps)
    }

    /// A product with `[vocabulary, hidden]`, row by row.
    fn rows(&self, x: &[f64], name: &str) -> Vec<Vec<f32>> {
        let hidden = self.config.hidden_size;
        x.chunks(hidden)
            .map(|row| narrow(&matmul(row, self.weight(name), hidden)))
            .collect()
    }

    fn weight(&self, name: &str) -> &[f64] {
        let name = format!("{name}.weight");
        self.weights
            .get(&name)
            .unwrap_or_else(|| panic!("the checkpoint has no {name}"))
    }
}

impl Forward<'_> {
    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    fn layer(&mut self, layer: usize, x: &[f64], positions: &[u32]) -> Vec<f64> {
        let prefix = format!("model.layers.{layer}");
        let normed = self.model.norm(x, &format!("{prefix}.input_layernorm"));
        let x = add(
            x,
            &self.attention(&format!("{prefix}.self_attn"), &normed, positions),
        );
        let normed = self
            .model
            .norm(&x, &format!("{prefix}.post_attention_layernorm"));
        let prefix = format!("{prefix}.mlp");
        let update = if self.model.config.is_moe(layer) {
            self.mixture(&prefix, &normed)
        } else {
            mlp(
                &normed,
                self.model.config.hidden_size,
                &self.model.mlp(&prefix),
            )
        };
        add(&x, &update)
    }

    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    fn attention(&self, prefix: &str, x: &[f64], positions: &[u32]) -> Vec<f64> {
        let config = &self.model.config;
        let (heads, latent) = (config.num_attention_heads, config.kv_lora_rank);
        let (nope, rope, value) = (
            config.qk_nope_head_dim,
            config.qk_rope_head_dim,
            config.v_head_dim,
        );
        let scale = config.attention_scale();
        let visible = causal(positions.len());

        let (plain_query, rotated_query) = self.query(prefix, x, positions);
        let (latents, rotated_key) = self.compressed(prefix, x, positions);

        // Per head first the rows that make keys, then those that make values.
        let expand = self.model.weight(&format!("{prefix}.kv_b_proj"));
        let (key_b, value_b) = split(expand, nope * latent, value * latent);
        let output = match self.attention {
            Attention::Absorbed | Attention::Packed(_) => {
                let into_latent = transpose_each(&key_b, heads, latent);
                let query = matmul_heads(&plain_query, &into_latent, heads, nope);
                let query = join(&query, latent, &rotated_query, rope);
                let cache = self.stored(&join(&latents, latent, &rotated_key, rope));
                let shape = LatentShape {
                    heads,
                    latent,
                    rope,
                };
                let mixed = latent_attention(&query, &cache, &visible, shape, scale);
                matmul_heads(&mixed, &value_b, heads, latent)
            }
            Attention::Naive => {
                let query = join(&plain_query, nope, &rotated_query, rope);
                let key_of_each_head: Vec<f64> = rotated_key
                    .chunks(rope)
                    .flat_map(|key| key.repeat(heads))
                    .collect();
                let keys = join(
                    &matmul(&latents, &key_b, latent),
                    nope,
                    &key_of_each_head,
                    rope,
                );
                let values = matmul(&latents, &value_b, latent);
                let shape = HeadShape {
                    heads,
                    key: nope + rope,
                    value,
                };
                naive_attention(&query, &keys, &values, &visible, shape, scale)
            }
        };
        matmul(
            &output,
            self.model.weight(&format!("{prefix}.o_proj")),
            heads * value,
        )
    }

    /// `x: [tokens, hidden]` → `[tokens, heads, nope]` and, rotated, `[tokens, heads, rope]`
    fn query(&self, prefix: &str, x: &[f64], positions: &[u32]) -> (Vec<f64>, Vec<f64>) {
        let config = &self.model.config;
        let weight = |name: &str| self.model.weight(&format!("{prefix}.{name}"));
        let query = match config.q_lora_rank {
            None => matmul(x, weight("q_proj"), config.hidden_size),
            Some(rank) => {
                let low_rank = matmul(x, weight("q_a_proj"), config.hidden_size);
                let low_rank = self.latent_norm(&low_rank, &format!("{prefix}.q_a_layernorm"));
                matmul(&low_rank, weight("q_b_proj"), rank)
            }
        };
        let (plain, turning) = split(&query, config.qk_nope_head_dim, config.qk_rope_head_dim);
        (
            plain,
            rope_interleaved(&turning, positions, &config.frequencies()),
        )
    }

    /// What a cache holds: `x: [tokens, hidden]` → `[tokens, latent]` and, rotated, `[tokens, rope]`
    fn compressed(&self, prefix: &str, x: &[f64], positions: &[u32]) -> (Vec<f64>, Vec<f64>) {
        let config = &self.model.config;
        let weight = self.model.weight(&format!("{prefix}.kv_a_proj_with_mqa"));
        let compressed = matmul(x, weight, config.hidden_size);
        let (latents, key) = split(&compressed, config.kv_lora_rank, config.qk_rope_head_dim);
        let latents = self.latent_norm(&latents, &format!("{prefix}.kv_a_layernorm"));
        (
            latents,
            rope_interleaved(&key, positions, &config.frequencies()),
        )
    }

    /// What the cache makes of its rows, with latent and key at multiples of 8 columns.
    fn stored(&self, cache: &[f64]) -> Vec<f64> {
        let Attention::Packed(name) = self.attention else {
            return cache.to_vec();
        };
        let latent = self.model.config.kv_lora_rank;
        let rope = self.model.config.qk_rope_head_dim;
        let stride = latent.next_multiple_of(8);
        let places: Vec<_> = (0..latent).chain(stride..stride + rope).collect();
        let row = |row: &[f64]| {
            let mut padded = vec![0f32; stride + rope.next_multiple_of(8)];
            for (value, &place) in row.iter().zip(&places) {
                padded[place] = *value as f32;
            }
            let stored = stored_row(name, &padded).values;
            places
                .iter()
                .map(|&place| f64::from(stored[place]))
                .collect::<Vec<_>>()
        };
        cache.chunks(latent + rope).flat_map(row).collect()
    }

    fn latent_norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        rms_norm(x, self.model.weight(name), LATENT_EPSILON)
    }

    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    fn mixture(&mut self, prefix: &str, x: &[f64]) -> Vec<f64> {
        let config = &self.model.config;
        let (hidden, count) = (config.hidden_size, config.n_routed_experts);
        let logits = matmul(x, self.model.weight(&format!("{prefix}.gate")), hidden);
        let bias = self
            .model
            .weights
            .get(&format!("{prefix}.gate.e_score_correction_bias"));
        let routes = route(&logits, count, bias.map(Vec::as_slice), &config.routing());
        let experts: Vec<_> = (0..count)
            .map(|expert| self.model.mlp(&format!("{prefix}.experts.{expert}")))
            .collect();
        let mixed = moe(x, hidden, &experts, &routes);
        let shared = mlp(
            x,
            hidden,
            &self.model.mlp(&format!("{prefix}.shared_experts")),
        );
        self.routes.push(routes);
        add(&mixed, &shared)
    }

    /// The prediction layer: each token's final state with the next token's embedding.
    fn draft(
        &mut self,
        normed: &[f64],
        tokens: &[u32],
        positions: &[u32],
    ) -> Option<Vec<Vec<f32>>> {
        let (model, hidden) = (self.model, self.model.config.hidden_size);
        let layer = model.config.num_hidden_layers;
        let prefix = format!("model.layers.{layer}");
        let projection = model.weights.get(&format!("{prefix}.eh_proj.weight"))?;
        if tokens.len() < 2 {
            return Some(Vec::new());
        }
        let next = embedding(model.weight("model.embed_tokens"), hidden, &tokens[1..]);
        let next = model.norm(&next, &format!("{prefix}.enorm"));
        let state = model.norm(&normed[..next.len()], &format!("{prefix}.hnorm"));
        let x = matmul(&join(&next, hidden, &state, hidden), projection, 2 * hidden);
        let x = self.layer(layer, &x, &positions[1..]);
        Some(model.rows(
            &model.norm(&x, &format!("{prefix}.shared_head.norm")),
            "lm_head",
        ))
    }
}

/// Each of `heads` matrices of `columns` columns, transposed.
fn transpose_each(matrices: &[f64], heads: usize, columns: usize) -> Vec<f64> {
    let transpose = |matrix: &[f64]| {
        let column = |column| matrix.iter().skip(column).step_by(columns).copied();
        (0..columns).flat_map(column).collect::<Vec<_>>()
    };
    matrices
        .chunks(matrices.len() / heads)
        .flat_map(transpose)
        .collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

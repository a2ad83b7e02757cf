use super::Linear;
use crate::gpu::{Pass, Tensor, Tiers, Weight};
use crate::ops::{self, Input, Routes, RoutingRule};

/// Most tokens for which reading an expert's weights once per token is faster than grouping
/// tokens by expert.
fn few_tokens(tiers: Tiers) -> usize {
    // Software adapters launch quickly and read slowly.
    if tiers.software { 2 } else { 8 }
}

/// Routed and shared experts (DeepSeekMoE, arXiv 2401.06066).
///
/// A shared expert is one more expert that every token goes to with weight 1, so routed and
/// shared ones share their launches. The checkpoint's shared MLP of `n` times the width is
/// `n` such experts.
pub struct MixtureOfExperts {
    /// Scores the routed experts.
    pub gate: Linear, // [experts, hidden]
    /// `e_score_correction_bias`, zeros where the model has none; for choosing only.
    pub bias: Tensor, // [experts]
    /// How scores become choices.
    pub rule: RoutingRule,
    /// `gate_proj` above `up_proj` of each expert; one after the other where their formats differ.
    pub gate_up: Vec<Weight>, // [experts + shared, 2 * intermediate, hidden], or [.., intermediate, ..] twice
    /// `down_proj` of each expert.
    pub down_proj: Weight, // [experts + shared, hidden, intermediate]
}

impl MixtureOfExperts {
    /// Adds the experts' sum to the residual stream; tells which experts they were.
    ///
    /// `x: [tokens, hidden]`, `residual: [tokens, hidden]`
    pub fn forward(&self, pass: &mut Pass, x: &Input, residual: &Tensor) -> Routes {
        let [tokens, _] = x.x.dims();
        let scores = self.gate.forward(pass, x); // [tokens, experts]
        let routes = ops::route(pass, &scores, &self.bias, &self.rule);
        match &self.gate_up[..] {
            [gate_up] if tokens <= few_tokens(pass.gpu.tiers) => {
                let hidden = ops::expert_gate_up(pass, x, gate_up, &routes); // [tokens, slots, intermediate]
                ops::add_expert_down(pass, &hidden, &self.down_proj, &routes, residual);
            }
            gate_up => {
                let x = x.rows(pass);
                let groups = ops::group_by_expert(pass, &routes.choices, self.down_proj.count);
                let hidden = match gate_up {
                    [gate_up] if groups.unit.is_none() => {
                        ops::expert_gate_up_grouped(pass, &x, gate_up, &groups)
                    }
                    // Of two formats, or multiplied by matrix units.
                    gate_up => {
                        let both: Vec<_> = gate_up.iter().collect();
                        let both = ops::expert_matmul(pass, &x, &both, &groups); // [tokens, slots, 2 * intermediate]
                        ops::swiglu(pass, &both)
                    }
                }; // [tokens, slots, intermediate]
                let outputs = ops::expert_matmul(pass, &hidden, &[&self.down_proj], &groups); // [tokens, slots, hidden]
                ops::add_combined(pass, &outputs, &routes.weights, residual);
            }
        }
        routes
    }

    /// Bytes of weights that a step of one token reads: those of its own experts.
    pub fn token_bytes(&self) -> u64 {
        let slots = self.rule.experts_per_token + self.rule.shared_experts;
        let gate_up: u64 = self.gate_up.iter().map(Weight::bytes).sum();
        let experts = gate_up + self.down_proj.bytes();
        self.gate.bytes() + experts / self.down_proj.count as u64 * slots as u64
    }
}

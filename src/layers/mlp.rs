use super::Linear;
use crate::gpu::{Pass, Tensor};
use crate::ops::{self, Input};

/// A gated feed-forward network (SwiGLU).
pub struct Mlp {
    /// `gate_proj` above `up_proj`, so that one launch reads both.
    pub gate_up: Linear, // [2 * intermediate, hidden]
    /// Back to the residual stream.
    pub down_proj: Linear, // [hidden, intermediate]
}

impl Mlp {
    /// Adds the network's output to the residual stream.
    ///
    /// `x: [tokens, hidden]`, `residual: [tokens, hidden]`
    pub fn forward(&self, pass: &mut Pass, x: &Input, residual: &Tensor) {
        let hidden = if x.norm.is_some() && self.gate_up.weight.shards.len() == 1 {
            ops::gate_up(pass, x, &self.gate_up.weight)
        } else {
            let both = self.gate_up.forward(pass, x); // [tokens, 2 * intermediate]
            ops::swiglu(pass, &both)
        }; // [tokens, intermediate]
        self.down_proj.add_forward(pass, &hidden, residual);
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.gate_up.bytes() + self.down_proj.bytes()
    }
}

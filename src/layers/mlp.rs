use super::Linear;
use crate::gpu::{Pass, Tensor};
use crate::ops;

/// A gated feed-forward network (SwiGLU).
pub struct Mlp {
    /// `gate_proj` above `up_proj`, so that one launch reads both.
    pub gate_up: Linear, // [2 * intermediate, hidden]
    /// Back to the residual stream.
    pub down_proj: Linear, // [hidden, intermediate]
}

impl Mlp {
    /// `x: [tokens, hidden]` → `[tokens, hidden]`
    pub fn forward(&self, pass: &mut Pass, x: &Tensor) -> Tensor {
        let both = self.gate_up.forward(pass, x); // [tokens, 2 * intermediate]
        let hidden = ops::swiglu(pass, &both); // [tokens, intermediate]
        self.down_proj.forward(pass, &hidden)
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> u64 {
        self.gate_up.bytes() + self.down_proj.bytes()
    }
}

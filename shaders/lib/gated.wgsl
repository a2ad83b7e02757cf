// The gate of a feed-forward network (SwiGLU, arXiv 2002.05202).

// silu(gate) * up; the bound keeps exp finite, and beyond it silu is zero in f32.
fn gated(gate: vec2f, up: vec2f) -> vec2f {
    return gate / (1 + exp(min(-gate, vec2f(80)))) * up;
}

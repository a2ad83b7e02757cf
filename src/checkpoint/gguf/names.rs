//! What llama.cpp and Hugging Face call the same tensor. One table serves both directions.

/// Architectures of GGUF files, with the `model_type` of config.json.
const ARCHITECTURES: [(&str, &str); 5] = [
    ("deepseek2", "deepseek_v3"),
    ("deepseek2", "deepseek_v2"),
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
];

/// Tensors outside the layers.
const OUTSIDE: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Modules of a layer, in all architectures.
const LAYER: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Modules of a layer of DeepSeek-V2 and V3.
const DEEPSEEK: [(&str, &str); 12] = [
    ("attn_q_a", "self_attn.q_a_proj"),
    ("attn_q_a_norm", "self_attn.q_a_layernorm"),
    ("attn_q_b", "self_attn.q_b_proj"),
    ("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"),
    ("attn_kv_a_norm", "self_attn.kv_a_layernorm"),
    ("attn_kv_b", "self_attn.kv_b_proj"),
    // The two halves of `kv_b_proj`, the first with a transposed matrix for each head.
    ("attn_k_b", "self_attn.k_b_proj"),
    ("attn_v_b", "self_attn.v_b_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_shexp", "mlp.shared_experts.gate_proj"),
    ("ffn_up_shexp", "mlp.shared_experts.up_proj"),
    ("ffn_down_shexp", "mlp.shared_experts.down_proj"),
];

/// Modules that are the experts of a layer, one behind the other.
const EXPERTS: [(&str, &str); 3] = [
    ("ffn_gate_exps", "gate_proj"),
    ("ffn_up_exps", "up_proj"),
    ("ffn_down_exps", "down_proj"),
];

/// The one tensor whose ending differs.
const CORRECTION: (&str, &str) = ("exp_probs_b.bias", "mlp.gate.e_score_correction_bias");

/// Endings of the names of a module's tensors.
const ENDINGS: [&str; 2] = ["weight", "bias"];

/// Where a GGUF file has a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufName {
    /// The tensor's name in the file.
    pub name: String,
    /// Which of the experts it holds is meant, if it holds experts.
    pub expert: Option<usize>,
}

/// What Hugging Face calls a tensor of a GGUF file.
pub(super) enum Renamed {
    Whole(String),
    /// The name of each expert's.
    Experts(Box<dyn Fn(usize) -> String>),
}

/// The architecture of a GGUF file for the `model_type` of a config.json.
#[must_use]
pub fn gguf_architecture(model_type: &str) -> Option<&'static str> {
    let found = ARCHITECTURES.iter().find(|(_, name)| *name == model_type);
    found.map(|(architecture, _)| *architecture)
}

/// The architectures of GGUF files, each once.
pub(super) fn architectures() -> Vec<&'static str> {
    let mut names = ARCHITECTURES.map(|(architecture, _)| architecture).to_vec();
    names.dedup();
    names
}

/// What a GGUF file of `architecture` calls the tensor that Hugging Face calls `hf`; `None` if it has
/// no such tensor.
#[must_use]
pub fn gguf_name(architecture: &str, hf: &str) -> Option<GgufName> {
    let whole = |name| Some(GgufName { name, expert: None });
    if let Some((name, _)) = OUTSIDE.iter().find(|(_, name)| *name == hf) {
        return whole((*name).to_owned());
    }
    let (layer, rest) = numbered(hf.strip_prefix("model.layers.")?)?;
    if architecture == "deepseek2" && rest == CORRECTION.1 {
        return whole(format!("blk.{layer}.{}", CORRECTION.0));
    }
    let (module, ending) = ended(rest)?;
    if let Some((name, _)) = modules(architecture).find(|(_, name)| *name == module) {
        return whole(format!("blk.{layer}.{name}.{ending}"));
    }
    let (expert, module) = numbered(module.strip_prefix("mlp.experts.")?)?;
    let mut experts = experts(architecture).iter();
    let (name, _) = experts.find(|(_, name)| *name == module)?;
    Some(GgufName {
        name: format!("blk.{layer}.{name}.{ending}"),
        expert: Some(expert),
    })
}

/// What Hugging Face calls the tensor that a GGUF file of `architecture` calls `gguf`; `None` if it has
/// no name for it.
pub(super) fn hf_name(architecture: &str, gguf: &str) -> Option<Renamed> {
    if let Some((_, name)) = OUTSIDE.iter().find(|(name, _)| *name == gguf) {
        return Some(Renamed::Whole((*name).to_owned()));
    }
    let (layer, rest) = numbered(gguf.strip_prefix("blk.")?)?;
    let prefix = format!("model.layers.{layer}");
    if architecture == "deepseek2" && rest == CORRECTION.0 {
        return Some(Renamed::Whole(format!("{prefix}.{}", CORRECTION.1)));
    }
    let (module, ending) = ended(rest)?;
    if let Some((_, name)) = modules(architecture).find(|(name, _)| *name == module) {
        return Some(Renamed::Whole(format!("{prefix}.{name}.{ending}")));
    }
    let mut experts = experts(architecture).iter();
    let (_, name) = experts.find(|(name, _)| *name == module)?;
    let ending = ending.to_owned();
    let expert = move |expert| format!("{prefix}.mlp.experts.{expert}.{name}.{ending}");
    Some(Renamed::Experts(Box::new(expert)))
}

fn modules(architecture: &str) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let more: &[_] = if architecture == "deepseek2" {
        &DEEPSEEK
    } else {
        &[]
    };
    LAYER.iter().chain(more)
}

fn experts(architecture: &str) -> &'static [(&'static str, &'static str)] {
    if architecture == "deepseek2" {
        &EXPERTS
    } else {
        &[]
    }
}

/// `3.rest` as 3 and `rest`, if the number is written as it should be.
fn numbered(name: &str) -> Option<(usize, &str)> {
    let (digits, rest) = name.split_once('.')?;
    let number: usize = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number, rest))
}

/// `module.weight` as `module` and `weight`.
fn ended(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.')
        .filter(|(_, ending)| ENDINGS.contains(ending))
}

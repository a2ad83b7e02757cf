//! The tensors that a config.json asks for.

use tiefsee::Result;
use tiefsee::checkpoint::Fields;

/// Names and shapes of tensors.
type Shapes = Vec<(String, Vec<usize>)>;

/// The tensors of a checkpoint of any architecture that the library loads.
///
/// # Errors
/// Where config.json lacks a size.
pub(super) fn shapes(fields: &Fields) -> Result<Shapes> {
    let size = |name| fields.usize(name);
    let (hidden, vocabulary) = (size("hidden_size")?, size("vocab_size")?);
    let experts = fields.optional_usize("n_routed_experts")?;
    let dense = fields.usize_or("first_k_dense_replace", 0)?;
    let every = fields.usize_or("moe_layer_freq", 1)?.max(1);
    let mut shapes = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            vec![vocabulary, hidden],
        ),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    if !fields.bool_or("tie_word_embeddings", false)? {
        shapes.push(("lm_head.weight".to_owned(), vec![vocabulary, hidden]));
    }
    for layer in 0..size("num_hidden_layers")? {
        let prefix = format!("model.layers.{layer}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shapes.push((format!("{prefix}.{norm}.weight"), vec![hidden]));
        }
        let attention = match fields.optional_usize("kv_lora_rank")? {
            Some(_) => latent_attention,
            None => grouped_attention,
        };
        attention(fields, &format!("{prefix}.self_attn"), hidden, &mut shapes)?;
        let mlp = format!("{prefix}.mlp");
        match experts {
            Some(experts) if layer >= dense && layer.is_multiple_of(every) => {
                mixture(fields, &mlp, [experts, hidden], &mut shapes)?;
            }
            _ => gated(&mlp, [hidden, size("intermediate_size")?], &mut shapes),
        }
    }
    Ok(shapes)
}

/// Qwen's and Llama's.
fn grouped_attention(
    fields: &Fields,
    prefix: &str,
    hidden: usize,
    shapes: &mut Shapes,
) -> Result<()> {
    let heads = fields.usize("num_attention_heads")?;
    let kv_heads = fields.usize_or("num_key_value_heads", heads)?;
    let head_dim = fields.usize_or("head_dim", hidden / heads.max(1))?;
    let model_type = fields.str("model_type")?;
    for (name, heads) in [
        ("q_proj", heads),
        ("k_proj", kv_heads),
        ("v_proj", kv_heads),
    ] {
        let width = heads * head_dim;
        shapes.push((format!("{prefix}.{name}.weight"), vec![width, hidden]));
        if model_type == "qwen2" {
            shapes.push((format!("{prefix}.{name}.bias"), vec![width]));
        }
    }
    let o_proj = vec![hidden, heads * head_dim];
    shapes.push((format!("{prefix}.o_proj.weight"), o_proj));
    if model_type == "qwen3" {
        for name in ["q_norm", "k_norm"] {
            shapes.push((format!("{prefix}.{name}.weight"), vec![head_dim]));
        }
    }
    Ok(())
}

/// DeepSeek's.
fn latent_attention(
    fields: &Fields,
    prefix: &str,
    hidden: usize,
    shapes: &mut Shapes,
) -> Result<()> {
    let size = |name| fields.usize(name);
    let (heads, latent) = (size("num_attention_heads")?, size("kv_lora_rank")?);
    let (nope, rope, value) = (
        size("qk_nope_head_dim")?,
        size("qk_rope_head_dim")?,
        size("v_head_dim")?,
    );
    let queries = heads * (nope + rope);
    let mut add = |name: &str, shape: &[usize]| {
        shapes.push((format!("{prefix}.{name}.weight"), shape.to_vec()));
    };
    match fields.optional_usize("q_lora_rank")? {
        None => add("q_proj", &[queries, hidden]),
        Some(rank) => {
            add("q_a_proj", &[rank, hidden]);
            add("q_a_layernorm", &[rank]);
            add("q_b_proj", &[queries, rank]);
        }
    }
    add("kv_a_proj_with_mqa", &[latent + rope, hidden]);
    add("kv_a_layernorm", &[latent]);
    add("kv_b_proj", &[heads * (nope + value), latent]);
    add("o_proj", &[hidden, heads * value]);
    if let Some(heads) = fields.optional_usize("index_n_heads")? {
        let (width, rank) = (size("index_head_dim")?, size("q_lora_rank")?);
        add("indexer.wq_b", &[heads * width, rank]);
        add("indexer.wk", &[width, hidden]);
        add("indexer.k_norm", &[width]);
        add("indexer.weights_proj", &[heads, hidden]);
        shapes.push((format!("{prefix}.indexer.k_norm.bias"), vec![width]));
    }
    Ok(())
}

fn mixture(
    fields: &Fields,
    prefix: &str,
    [experts, hidden]: [usize; 2],
    shapes: &mut Shapes,
) -> Result<()> {
    let width = fields.usize("moe_intermediate_size")?;
    let method = if fields.str("model_type")? == "deepseek_v2" {
        "greedy"
    } else {
        "noaux_tc"
    };
    shapes.push((format!("{prefix}.gate.weight"), vec![experts, hidden]));
    if fields.str_or("topk_method", method)? == "noaux_tc" {
        shapes.push((
            format!("{prefix}.gate.e_score_correction_bias"),
            vec![experts],
        ));
    }
    for expert in 0..experts {
        gated(
            &format!("{prefix}.experts.{expert}"),
            [hidden, width],
            shapes,
        );
    }
    match fields.optional_usize("n_shared_experts")? {
        None | Some(0) => {}
        Some(shared) => gated(
            &format!("{prefix}.shared_experts"),
            [hidden, shared * width],
            shapes,
        ),
    }
    Ok(())
}

fn gated(prefix: &str, [hidden, width]: [usize; 2], shapes: &mut Shapes) {
    for (name, shape) in [
        ("gate_proj", [width, hidden]),
        ("up_proj", [width, hidden]),
        ("down_proj", [hidden, width]),
    ] {
        shapes.push((format!("{prefix}.{name}.weight"), shape.to_vec()));
    }
}

//! A random GGUF file of the model, as llama.cpp would convert it: `Q4_K` where rows are whole blocks of 256.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use half::f16;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::gguf_file::{Gguf, Info};

pub(crate) const HIDDEN: usize = 2048;
pub(crate) const HEADS: usize = 16;
pub(crate) const LATENT: usize = 512;
pub(crate) const NOPE: usize = 128;
pub(crate) const ROPE: usize = 64;
pub(crate) const VALUE: usize = 128;
pub(crate) const LAYERS: usize = 2;
pub(crate) const EXPERTS: usize = 64;
pub(crate) const EXPERTS_PER_TOKEN: usize = 6;
const DENSE: usize = 10_944;
const EXPERT: usize = 1408;
const SHARED: usize = 2;
const VOCABULARY: usize = 102_400;

/// How a tensor is stored.
#[derive(Clone, Copy)]
enum Type {
    F32,
    Q4K,
    /// For rows that are no whole blocks of 256.
    Q5_0,
}

impl Type {
    fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::Q4K => 12,
            Self::Q5_0 => 6,
        }
    }

    /// Weights and bytes of a block.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::Q4K => (256, 144),
            Self::Q5_0 => (32, 22),
        }
    }

    fn bytes(self, dims: &[usize]) -> usize {
        let (weights, bytes) = self.block();
        dims.iter().product::<usize>() / weights * bytes
    }
}

/// Name, dimensions (the contiguous one first) and type of each tensor.
fn tensors() -> Vec<(String, Vec<usize>, Type)> {
    let mut all = vec![
        (
            "token_embd.weight".to_owned(),
            vec![HIDDEN, VOCABULARY],
            Type::Q4K,
        ),
        ("output_norm.weight".to_owned(), vec![HIDDEN], Type::F32),
        (
            "output.weight".to_owned(),
            vec![HIDDEN, VOCABULARY],
            Type::Q4K,
        ),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, dims: &[usize], kind: Type| {
            all.push((format!("blk.{layer}.{name}.weight"), dims.to_vec(), kind));
        };
        add("attn_norm", &[HIDDEN], Type::F32);
        add("ffn_norm", &[HIDDEN], Type::F32);
        add("attn_q", &[HIDDEN, HEADS * (NOPE + ROPE)], Type::Q4K);
        add("attn_kv_a_mqa", &[HIDDEN, LATENT + ROPE], Type::Q4K);
        add("attn_kv_a_norm", &[LATENT], Type::F32);
        add("attn_kv_b", &[LATENT, HEADS * (NOPE + VALUE)], Type::Q4K);
        add("attn_output", &[HEADS * VALUE, HIDDEN], Type::Q4K);
        if layer == 0 {
            add("ffn_gate", &[HIDDEN, DENSE], Type::Q4K);
            add("ffn_up", &[HIDDEN, DENSE], Type::Q4K);
            add("ffn_down", &[DENSE, HIDDEN], Type::Q5_0);
            continue;
        }
        add("ffn_gate_inp", &[HIDDEN, EXPERTS], Type::F32);
        add("ffn_gate_exps", &[HIDDEN, EXPERT, EXPERTS], Type::Q4K);
        add("ffn_up_exps", &[HIDDEN, EXPERT, EXPERTS], Type::Q4K);
        add("ffn_down_exps", &[EXPERT, HIDDEN, EXPERTS], Type::Q5_0);
        add("ffn_gate_shexp", &[HIDDEN, SHARED * EXPERT], Type::Q4K);
        add("ffn_up_shexp", &[HIDDEN, SHARED * EXPERT], Type::Q4K);
        add("ffn_down_shexp", &[SHARED * EXPERT, HIDDEN], Type::Q4K);
    }
    all
}

/// Writes the file, and says how large it is.
pub(crate) fn write(path: &Path) -> io::Result<u64> {
    let tensors = tensors();
    let info = |(name, dims, kind): &(String, Vec<usize>, Type)| Info {
        name: name.clone(),
        dims: dims.iter().map(|&dim| dim as u64).collect(),
        kind: kind.id(),
        size: kind.bytes(dims),
    };
    let model = metadata();
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&model.head_of(&tensors.iter().map(info).collect::<Vec<_>>()))?;
    let mut random = Pcg64::seed_from_u64(5);
    for (name, dims, kind) in &tensors {
        write_random(&mut file, *kind, dims, name, &mut random)?;
        let bytes = kind.bytes(dims);
        file.write_all(&vec![0; bytes.next_multiple_of(model.alignment) - bytes])?;
    }
    Ok(file.into_inner()?.metadata()?.len())
}

/// Old files' keys: `kv_b` is whole, so heads have keys and values of their own.
fn metadata() -> Gguf {
    let counts = [
        ("block_count", LAYERS),
        ("context_length", 163_840),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", DENSE),
        ("leading_dense_block_count", 1),
        ("vocab_size", VOCABULARY),
        ("expert_count", EXPERTS),
        ("expert_used_count", EXPERTS_PER_TOKEN),
        ("expert_shared_count", SHARED),
        ("expert_feed_forward_length", EXPERT),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", HEADS),
        ("attention.kv_lora_rank", LATENT),
        ("attention.key_length", NOPE + ROPE),
        ("attention.value_length", VALUE),
        ("rope.dimension_count", ROPE),
        ("rope.scaling.original_context_length", 4096),
    ];
    let model = counts
        .iter()
        .fold(Gguf::new("deepseek2"), |model, (name, count)| {
            model.u32(&format!("deepseek2.{name}"), *count as u32)
        });
    model
        .f32("deepseek2.expert_weights_scale", 1.0)
        .bool("deepseek2.expert_weights_norm", false)
        .f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6)
        .f32("deepseek2.rope.freq_base", 10_000.0)
        .text("deepseek2.rope.scaling.type", "yarn")
        .f32("deepseek2.rope.scaling.factor", 40.0)
        .f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707)
}

/// Noise that keeps activations near unit size.
fn write_random(
    file: &mut impl Write,
    kind: Type,
    dims: &[usize],
    name: &str,
    random: &mut Pcg64,
) -> io::Result<()> {
    let (_, size) = kind.block();
    // Numbers of 4 and 5 bits with scales of 6 have deviations of about these many steps.
    let deviation = (dims[0] as f32).powf(-0.5);
    let mut block = vec![0; size];
    for _ in 0..kind.bytes(dims) / size {
        random.fill_bytes(&mut block);
        match kind {
            Type::F32 => {
                let noise = (random.next_u32() >> 8) as f32 / 2f32.powi(23) - 1.0;
                let is_norm = dims.len() == 1;
                let value = if is_norm {
                    1.0 + 0.1 * noise
                } else {
                    4.0 * deviation * noise
                };
                block.copy_from_slice(&value.to_le_bytes());
            }
            Type::Q4K => {
                let embedded = if name.starts_with("token_embd") {
                    30.0
                } else {
                    1.0
                };
                let step = embedded * deviation / 160.0;
                block[..2].copy_from_slice(&f16::from_f32(step).to_le_bytes());
                block[2..4].copy_from_slice(&f16::from_f32(7.5 * step).to_le_bytes());
            }
            Type::Q5_0 => {
                let step = deviation / 9.0;
                block[..2].copy_from_slice(&f16::from_f32(step).to_le_bytes());
            }
        }
        file.write_all(&block)?;
    }
    Ok(())
}

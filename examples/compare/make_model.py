"""Writes a model of made-up weights: make_model.py CONFIG TOKENIZER_FOLDER OUT_FOLDER.

A folder in Hugging Face layout of the shape that CONFIG describes (a config.json of model type deepseek_v3),
in bf16, which `tiefsee quantize` turns into GGUF files that other engines load too. Speed does not
depend on what weights say, so nothing has to be downloaded; they are noise of a size that keeps all
numbers in range. The tokenizer is borrowed: it may be smaller than the vocabulary.
"""

import array
import json
import math
import random
import shutil
import struct
import sys
from pathlib import Path

POOL = 1 << 18  # different weights; more would only take longer
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]


def gated(prefix, hidden, width):
    yield f"{prefix}.gate_proj.weight", [width, hidden]
    yield f"{prefix}.up_proj.weight", [width, hidden]
    yield f"{prefix}.down_proj.weight", [hidden, width]


def attention(prefix, config):
    hidden, heads, rank = config["hidden_size"], config["num_attention_heads"], config["q_lora_rank"]
    latent, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    nope, value = config["qk_nope_head_dim"], config["v_head_dim"]
    yield f"{prefix}.q_a_proj.weight", [rank, hidden]
    yield f"{prefix}.q_a_layernorm.weight", [rank]
    yield f"{prefix}.q_b_proj.weight", [heads * (nope + rope), rank]
    yield f"{prefix}.kv_a_proj_with_mqa.weight", [latent + rope, hidden]
    yield f"{prefix}.kv_a_layernorm.weight", [latent]
    yield f"{prefix}.kv_b_proj.weight", [heads * (nope + value), latent]
    yield f"{prefix}.o_proj.weight", [hidden, heads * value]


def mixture(prefix, config):
    hidden, experts, width = config["hidden_size"], config["n_routed_experts"], config["moe_intermediate_size"]
    yield f"{prefix}.gate.weight", [experts, hidden]
    yield f"{prefix}.gate.e_score_correction_bias", [experts]
    for expert in range(experts):
        yield from gated(f"{prefix}.experts.{expert}", hidden, width)
    yield from gated(f"{prefix}.shared_experts", hidden, width * config["n_shared_experts"])


def tensors(config):
    """Names and shapes of all weights."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", [vocabulary, hidden]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", [hidden]
        yield from attention(f"{prefix}.self_attn", config)
        yield f"{prefix}.post_attention_layernorm.weight", [hidden]
        if layer < config["first_k_dense_replace"]:
            yield from gated(f"{prefix}.mlp", hidden, config["intermediate_size"])
        else:
            yield from mixture(f"{prefix}.mlp", config)
    yield "model.norm.weight", [hidden]
    yield "lm_head.weight", [vocabulary, hidden]


def bf16(values):
    """Cut rather than rounded, which is all the same to noise."""
    wide = array.array("f", values)
    if sys.byteorder == "big":
        wide.byteswap()
    wide, narrow = wide.tobytes(), bytearray(2 * len(values))
    narrow[0::2], narrow[1::2] = wide[2::4], wide[3::4]
    return bytes(narrow)


class Noise:
    """Rows of a matrix have a length of about 1, whatever its width."""

    def __init__(self):
        self.random = random.Random(1)
        self.pool = [self.random.gauss(0, 1) for _ in range(POOL)]
        self.scaled = {}

    def weight(self, name, shape):
        count = math.prod(shape)
        if len(shape) == 1:
            return bf16([0.0 if name.endswith("bias") else 1.0] * count)
        width = shape[-1]
        if width not in self.scaled:
            self.scaled[width] = 2 * bf16([value / math.sqrt(width) for value in self.pool])
        start = 2 * self.random.randrange(POOL)
        repeated = self.scaled[width][start : start + 2 * POOL] * (count // POOL + 1)
        return repeated[: 2 * count]


def main(config_file, tokenizer, folder):
    config = json.loads(Path(config_file).read_text())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header, end = {}, 0
    for name, shape in tensors(config):
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = Noise()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors(config):
            file.write(noise.weight(name, shape))
    shutil.copyfile(config_file, folder / "config.json")
    for name in TOKENIZER:
        shutil.copyfile(Path(tokenizer) / name, folder / name)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

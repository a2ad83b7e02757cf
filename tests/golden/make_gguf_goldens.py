#!/usr/bin/env python3
"""Makes the GGUF files: golden checkpoints converted as llama.cpp's convert_hf_to_gguf does, and two
models whose tensors are in many block types.

    make_gguf_goldens.py --goldens tests/golden --out tests/golden/gguf [--only NAME]...

Keys and tensors have the names and the order that llama.cpp's converter gives them. README.md says what each
file is for.
"""

import argparse
import json
import math
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import gguf
import jinja2.sandbox
import numpy as np
import torch
import transformers
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, DeepseekV3Config, LlamaConfig

Type = gguf.GGMLQuantizationType
GREEDY_TOKENS = 8
SEEDS = range(1, 100)
MINIMUM_MARGIN = 0.02
MINIMUM_ROUTE_MARGIN = 1e-3

# ---------------------------------------------------------------- tokenizers
BEGIN, END, USER, ASSISTANT = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
CONTROL, USER_DEFINED = [BEGIN, END, USER, ASSISTANT], ["<think>", "</think>"]
PADDING_TOKENS = 3
SPLIT_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPLIT_QWEN2 = (r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# llama.cpp's expressions for a value of tokenizer.ggml.pre; each splits what the ones before it left over.
SPLITS = {
    "smollm": [r"\p{N}", SPLIT_GPT2],
    "qwen2": [SPLIT_QWEN2],
    "deepseek-r1-qwen": [SPLIT_QWEN2],
    "llama-bpe": [SPLIT_QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")],
    "deepseek-v3": [
        r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
        r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    # Only the ASCII part of the second and third class: the vocabularies made here have no other letters.
    "deepseek-llm": [r"[\r\n]", r"\s?[A-Za-z]+", r"\s?[!-/:-~]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+", r"\p{N}+"],
}
CORPUS = ("the model reads the question and then it thinks about the answer and writes the answer down "
          "in the end there is one token after another and the next one is the one that is most likely")
TEXTS = ["", "the answer is 12345", "Hello there, what's 7 + 8 = ?\n", "  two  spaces\n\n and   lines ",
         "then\nthe end.\n\n\nand I'LL think", "a1b22c333d4444", "(the) [one] - the-other, its end!"]
TEMPLATE = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
            "{% elif message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
            "{% else %}{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}")
CHAT = [{"role": "system", "content": "think about it"}, {"role": "user", "content": "one and two?"},
        {"role": "assistant", "content": "<think>\nit is one</think>three"}, {"role": "user", "content": "and then?"}]


def byte_letters():
    """GPT-2's letter for each byte."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


def learn_merges(count, letters):
    """The most frequent pairs of the corpus, one after the other."""
    words = Counter(re.findall(r" ?\w+", CORPUS))
    words = [([letters[byte] for byte in word.encode()], times) for word, times in words.items()]
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for parts, times in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for parts, _ in words:
            for place in range(len(parts) - 1, 0, -1):
                if (parts[place - 1], parts[place]) == best:
                    parts[place - 1 : place + 1] = ["".join(best)]
    return merges


def vocabulary(size):
    """Tokens, their types and merges. Fewer than 300 tokens leave out bytes, first of all those beyond ASCII."""
    letters = byte_letters()
    order = list(b" \n" + bytes(range(ord("a"), ord("z") + 1)) + b"0123456789ITHLE.,!?'+-=()[]")
    if size >= 256:
        order = list(range(256))
    room = size - len(CONTROL) - len(USER_DEFINED) - PADDING_TOKENS
    merges = learn_merges(room - len(order), letters)
    normal = [letters[byte] for byte in order] + ["".join(merge) for merge in merges]
    padding = [f"[PAD{place}]" for place in range(size - PADDING_TOKENS, size)]
    kinds = gguf.TokenType
    types = ([kinds.CONTROL] * len(CONTROL) + [kinds.NORMAL] * len(normal) + [kinds.USER_DEFINED] * len(USER_DEFINED)
             + [kinds.UNUSED] * PADDING_TOKENS)
    return [*CONTROL, *normal, *USER_DEFINED, *padding], types, [" ".join(merge) for merge in merges]


def build_tokenizer(pre, tokens, merges):
    """The `tokenizers` library's BPE from what stands in a GGUF file, without special tokens."""
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS[pre]]
    pairs = [tuple(merge.split(" ")) for merge in merges]
    model = models.BPE({token: place for place, token in enumerate(tokens)}, pairs, ignore_merges=pre == "llama-bpe")
    tokenizer = Tokenizer(model)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, letters])
    return tokenizer


def render(template, messages, **values):
    """A chat template as transformers renders it."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **values)


def encode_with_specials(tokenizer, text, tokens, types):
    """Ids of a text in which control and user-defined tokens stand as such."""
    kinds = gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
    special = [token for token, kind in zip(tokens, types) if kind in kinds]
    ids = []
    for piece in re.split("(" + "|".join(map(re.escape, special)) + ")", text):
        ids += [tokens.index(piece)] if piece in special else tokenizer.encode(piece).ids
    return ids


def add_tokenizer(writer, size, pre, add_bos):
    """The tokenizer's keys; returns what it makes of some texts."""
    tokens, types, merges = vocabulary(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    writer.add_add_bos_token(add_bos)
    writer.add_chat_template(TEMPLATE)
    tokenizer = build_tokenizer(pre, tokens, merges)
    prompt = render(TEMPLATE, CHAT, bos_token=BEGIN, eos_token=END)
    return {"pre": pre, "add_bos_token": add_bos,
            "texts": [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS],
            "prompt": prompt, "prompt_ids": encode_with_specials(tokenizer, prompt, tokens, types)}


# ---------------------------------------------------------------- keys and names
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
ALWAYS_F32 = ("norm.weight", ".bias", "ffn_gate_inp.weight", "rope_freqs.weight")


def gguf_name(name):
    """llama.cpp's name of a tensor."""
    if name in NAMES:
        return NAMES[name]
    layer, rest = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name).groups()
    if rest == "mlp.gate.e_score_correction_bias":
        return f"blk.{layer}.exp_probs_b.bias"
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def permute(rows, heads):
    """Row i and i + half of a head become neighbours, as an interleaved rotation wants them."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def unpermute(rows, heads):
    """The way back."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def convert(tensors, config, old):
    """A checkpoint's tensors under their GGUF names; `old` leaves keys and values of MLA in one matrix."""
    layers, experts = config["num_hidden_layers"], config.get("n_routed_experts")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    converted = {}
    for name, values in tensors.items():
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        if layer and int(layer[1]) >= layers:
            continue
        if expert := re.match(r"(model\.layers\.(\d+)\.mlp\.experts)\.0\.(gate|up|down)_proj", name):
            stack = [tensors[f"{expert[1]}.{place}.{expert[3]}_proj.weight"] for place in range(experts)]
            converted[f"blk.{expert[2]}.ffn_{expert[3]}_exps.weight"] = np.stack(stack)
        elif ".mlp.experts." in name:
            continue
        elif name.endswith("kv_b_proj.weight") and not old:
            sizes = config["qk_nope_head_dim"], config["v_head_dim"]
            both = values.reshape(heads, sum(sizes), -1)
            converted[f"blk.{layer[1]}.attn_k_b.weight"] = both[:, : sizes[0]].swapaxes(1, 2)
            converted[f"blk.{layer[1]}.attn_v_b.weight"] = both[:, sizes[0] :]
        elif config["model_type"] == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            converted[gguf_name(name)] = permute(values, heads if "q_proj" in name else kv_heads)
        else:
            converted[gguf_name(name)] = values
    rope = config["rope_parameters"]
    if rope["rope_type"] == "llama3":
        converted = {"rope_freqs.weight": llama3_divisors(config, rope), **converted}
    return {name: np.ascontiguousarray(values) for name, values in converted.items()}


def llama3_divisors(config, rope):
    """What each frequency is divided by."""
    size = config["hidden_size"] // config["num_attention_heads"]
    turns = rope["original_max_position_embeddings"] / (
        2 * math.pi * rope["rope_theta"] ** (np.arange(0, size, 2) / size))
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def add_keys(writer, config, old, file_type):
    """All keys but the tokenizer's."""
    rope, deepseek = config["rope_parameters"], "kv_lora_rank" in config
    writer.add_type("model")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(1 if deepseek and not old else config["num_key_value_heads"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "attn_factor" in rope:
            writer.add_rope_scaling_yarn_attn_factor(rope["attn_factor"])
        if "beta_fast" in rope and not old:
            writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if deepseek:
        add_deepseek_keys(writer, config, old)
    elif config["model_type"] == "qwen3":
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    elif config["model_type"] == "llama":
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_file_type(file_type)
    writer.add_quantization_version(2)


def add_deepseek_keys(writer, config, old):
    """What only deepseek2 has."""
    sigmoid = config["model_type"] == "deepseek_v3"
    key_size = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if not old:
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
    if sigmoid or not old:
        kinds = gguf.ExpertGatingFuncType
        writer.add_expert_gating_func(kinds.SIGMOID if sigmoid else kinds.SOFTMAX)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_vocab_size(config["vocab_size"])
    if config["q_lora_rank"]:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    if old:
        writer.add_key_length(key_size)
        writer.add_value_length(config["v_head_dim"])
    else:
        writer.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
        writer.add_value_length(config["kv_lora_rank"])
        writer.add_key_length_mla(key_size)
        writer.add_value_length_mla(config["v_head_dim"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    if config["norm_topk_prob"]:
        writer.add_expert_weights_norm(True)
    writer.add_rope_dimension_count(config["qk_rope_head_dim"])
    if all_dim := config["rope_parameters"].get("mscale_all_dim"):
        writer.add_rope_scaling_yarn_log_mul(0.1 * all_dim)


def write(path, config, tensors, pre, add_bos=True, old=False, split=0, file_type=gguf.LlamaFileType.ALL_F32):
    """One file, or several of `split` tensors; returns the tokenizer's answers. Tensors: arrays or (bytes, type)."""
    arch = {"deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2"}.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=split)
    writer.add_name(path.stem)
    add_keys(writer, config, old, file_type)
    answers = add_tokenizer(writer, config["vocab_size"], pre, add_bos)
    for name, values in tensors.items():
        if isinstance(values, tuple):
            writer.add_tensor(name, values[0], raw_dtype=values[1])
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return answers


# ---------------------------------------------------------------- converted checkpoints
CONVERTED = {
    "dsv3": {"pre": "deepseek-v3"},
    "dsv2lite": {"pre": "deepseek-llm"},
    "dsv2-old": {"from": "dsv2", "pre": "deepseek-llm", "old": True},
    "qwen2": {"pre": "deepseek-r1-qwen"},
    "qwen3": {"pre": "qwen2", "add_bos": False},
    "llama": {"pre": "llama-bpe"},
    "llama-split": {"from": "llama", "pre": "llama-bpe", "split": 12},
}


def make_converted(name, goldens, out):
    """A golden checkpoint as GGUF."""
    options = dict(CONVERTED[name])
    folder = goldens / options.pop("from", name)
    config = json.loads((folder / "config.json").read_text())
    tensors = {key: values.float().numpy() for key, values in load_file(folder / "model.safetensors").items()}
    path = out / f"{name}.gguf"
    answers = write(path, config, convert(tensors, config, options.get("old", False)), **options)
    if name == "qwen2":
        content = bytearray(path.read_bytes())
        content[4] = 2
        (out / "qwen2-v2.gguf").write_bytes(content)
    if name == "dsv2-old":
        record_without_groups(folder, out / "dsv2-old.golden.safetensors")
    return answers


# ---------------------------------------------------------------- models in many block types
HALVES = {  # where the half-precision scales are in a block, and how much of the scale the offset gets
    "Q2_K": ([80, 82], 1.5), "Q3_K": ([108], 0), "Q4_K": ([0, 2], 7.5), "Q5_K": ([0, 2], 15.5), "Q6_K": ([208], 0),
    "IQ4_NL": ([0], 0), "IQ4_XS": ([0], 0)}


def mixed_config():
    """llama, wide enough for blocks of 256."""
    return LlamaConfig(
        vocab_size=320, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1,
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})


def deepseek2_mixed_config():
    """V3 without groups; latents and experts too narrow for blocks of 256."""
    return DeepseekV3Config(
        vocab_size=320, hidden_size=256, intermediate_size=512, moe_intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, q_lora_rank=64, kv_lora_rank=64, qk_nope_head_dim=32,
        qk_rope_head_dim=16, v_head_dim=32, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3, n_group=1,
        topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5, first_k_dense_replace=1,
        max_position_embeddings=163_840, rms_norm_eps=1e-6, bos_token_id=0, eos_token_id=1, tie_word_embeddings=False,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 40.0, "beta_fast": 32, "beta_slow": 1,
                         "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096})


MIXED = {
    "mixed": {
        "config": mixed_config, "pre": "llama-bpe", "prompt": 40, "file_type": gguf.LlamaFileType.MOSTLY_Q4_K_M,
        "types": {
            "token_embd": "Q4_K", "output": "Q6_K",
            "blk.0.attn_q": "Q4_0", "blk.0.attn_k": "Q4_1", "blk.0.attn_v": "Q5_0", "blk.0.attn_output": "Q8_0",
            "blk.0.ffn_gate": "Q2_K", "blk.0.ffn_up": "Q3_K", "blk.0.ffn_down": "Q4_K",
            "blk.1.attn_q": "Q5_K", "blk.1.attn_k": "IQ4_NL", "blk.1.attn_v": "IQ4_XS", "blk.1.attn_output": "MXFP4",
            "blk.1.ffn_gate": "F16", "blk.1.ffn_up": "BF16", "blk.1.ffn_down": "Q5_1"}},
    "deepseek2-mixed": {
        "config": deepseek2_mixed_config, "pre": "deepseek-v3", "prompt": 40, "old": True,
        "file_type": gguf.LlamaFileType.MOSTLY_Q4_K_M,
        "types": {
            "token_embd": "Q4_K", "output": "Q6_K", "attn_q_a": "Q4_K", "attn_q_b": "Q4_0", "attn_kv_a_mqa": "Q5_K",
            "attn_kv_b": "Q8_0", "attn_output": "Q4_1", "ffn_gate": "Q3_K", "ffn_up": "Q2_K", "ffn_down": "Q6_K",
            "ffn_gate_exps": "Q4_K", "ffn_up_exps": "Q6_K", "ffn_down_exps": "Q5_0", "ffn_gate_shexp": "Q5_K",
            "ffn_up_shexp": "IQ4_XS", "ffn_down_shexp": "Q5_1"}},
}


def random_blocks(shape, kind, random):
    """Random blocks of one type whose values have about the size of `shape`'s weights; bytes."""
    size = 1 / math.sqrt(shape[-1])
    if kind.name not in HALVES:
        return quantize((size * random.standard_normal(shape)).astype(np.float32), kind)
    (places, share), (values, width) = HALVES[kind.name], gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (math.prod(shape) // values, width), dtype=np.uint8)

    def scale_by(scales):
        for place, factor in zip(places, [1, share]):
            blocks[:, place : place + 2] = (factor * scales).astype(np.float16)[:, None].view(np.uint8)

    scale_by(np.ones(len(blocks)))
    scales = size / dequantize(blocks, kind).std() * random.uniform(0.5, 1.5, len(blocks))
    if len(places) == 1:
        scales *= random.choice([-1, 1], len(blocks))
    scale_by(scales)
    return blocks.reshape(*shape[:-1], -1)


def mixed_tensors(template, types, random):
    """Random tensors in the shapes of `template`: those for the file, and what they decode to."""
    stored, decoded = {}, {}
    for name, values in template.items():
        shape, stem = values.shape, name.removesuffix(".weight")
        short = re.sub(r"^blk\.\d+\.", "", stem)
        if name.endswith(ALWAYS_F32):
            spread = 2.5 / math.sqrt(shape[-1]) if "ffn_gate_inp" in name else 0.1
            values = (spread * random.standard_normal(shape) + ("norm" in name)).astype(np.float32)
            stored[name] = decoded[name] = values
            continue
        kind = Type[types.get(stem) or types[short]]
        content = random_blocks(shape, kind, random)
        decoded[name] = dequantize(content, kind).astype(np.float32)
        stored[name] = content if content.dtype == np.float16 else (content, kind)
    return stored, decoded


def to_checkpoint(decoded, config):
    """GGUF tensors under the names of a checkpoint."""
    rest = {name: stem for stem, name in NAMES.items()}
    tensors = {}
    for name, values in decoded.items():
        values = torch.from_numpy(values.copy())
        if name in rest:
            tensors[rest[name]] = values
            continue
        layer, stem, kind = re.fullmatch(r"blk\.(\d+)\.(.+)\.(weight|bias)", name).groups()
        if stem == "exp_probs_b":
            tensors[f"model.layers.{layer}.mlp.gate.e_score_correction_bias"] = values
        elif stem.endswith("_exps"):
            for place, expert in enumerate(values):
                tensors[f"model.layers.{layer}.mlp.experts.{place}.{stem[4:-5]}_proj.weight"] = expert.contiguous()
        else:
            if config["model_type"] == "llama" and stem in ("attn_q", "attn_k"):
                values = unpermute(values, config["num_attention_heads" if stem == "attn_q" else "num_key_value_heads"])
            tensors[f"model.layers.{layer}.{rest[stem]}.{kind}"] = values.contiguous()
    return tensors


def make_mixed(name, out):
    """A random model in many types; the first seed without near ties."""
    family = MIXED[name]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        model = AutoModelForCausalLM.from_config(family["config"]())
        model.save_pretrained(scratch)
        config = json.loads((scratch / "config.json").read_text())
        old = family.get("old", False)
        template = {key: values.numpy() for key, values in load_file(scratch / "model.safetensors").items()}
        template = convert(template, config, old)
        for seed in SEEDS:
            random = np.random.default_rng(seed)
            stored, decoded = mixed_tensors(template, family["types"], random)
            save_file(to_checkpoint(decoded, config), scratch / "model.safetensors", metadata={"format": "pt"})
            prompt = torch.from_numpy(random.integers(2, config["vocab_size"], (1, family["prompt"])))
            facts = record(scratch, prompt, out / f"{name}.golden.safetensors")
            if facts:
                print(name, {"seed": seed, **facts}, flush=True)
                path = out / f"{name}.gguf"
                return write(path, config, stored, family["pre"], old=old, file_type=family["file_type"])
    raise SystemExit(f"{name}: every seed has a near tie")


# ---------------------------------------------------------------- what transformers computes
@torch.no_grad()
def record(folder, prompt, path, **changes):
    """Logits and continuation of a checkpoint in float32, or nothing where a choice is too close."""
    config = AutoConfig.from_pretrained(folder)
    config.update(changes)
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()
    leads = [math.inf]
    for module in model.modules():
        if type(module).__name__.endswith("TopkRouter"):
            module.register_forward_hook(lambda router, _, outputs: leads.append(route_lead(router, outputs[0])))
    logits = model(input_ids=prompt, use_cache=False).logits[0]
    ids, lead = prompt, math.inf
    for _ in range(GREEDY_TOKENS):
        best = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[None, :1]], 1)
    if lead < MINIMUM_MARGIN or min(leads) < MINIMUM_ROUTE_MARGIN:
        return None
    save_file({"input_ids": prompt[0].int(), "logits": logits.contiguous(), "greedy": ids[0].int()}, path)
    return {"greedy_margin_min": lead, "route_margin_min": min(leads)}


def route_lead(router, logits):
    """The smallest lead of a chosen expert over one left out; routers without groups only."""
    biased = hasattr(router, "e_score_correction_bias")
    scores = logits.sigmoid() + router.e_score_correction_bias if biased else logits.softmax(-1)
    best = scores.topk(router.top_k + 1, -1).values
    return (best[..., -2] - best[..., -1]).min().item()


def record_without_groups(folder, path):
    """V2 as an old file describes it: no key speaks of groups. The first prompt without near ties."""
    golden = load_file(folder / "golden.safetensors")
    tokens, words = golden["logits"].shape
    for seed in SEEDS:
        prompt = torch.from_numpy(np.random.default_rng(seed).integers(2, words, (1, tokens)))
        facts = record(folder, prompt, path, n_group=1, topk_group=1, topk_method="greedy")
        if facts:
            print(path.stem, {"seed": seed, **facts}, flush=True)
            return
    raise SystemExit(f"{path.stem}: every prompt has a near tie")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goldens", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=[*CONVERTED, *MIXED], help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "tokenizers.json"
    answers = json.loads(path.read_text()) if path.exists() else {}
    for name in arguments.only or [*CONVERTED, *MIXED]:
        if name in CONVERTED:
            made = make_converted(name, arguments.goldens, arguments.out)
        else:
            made = make_mixed(name, arguments.out)
        answers[name] = {**made, "messages": CHAT}
    path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()

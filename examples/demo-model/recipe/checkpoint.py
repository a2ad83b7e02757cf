"""The model as files in Hugging Face layout."""

import json
import os
from pathlib import Path

import torch
from model import DeepseekV3, to_published
from safetensors.torch import save_file
from text import tokenizer_config
from tokenizers import Tokenizer

# Answers are a few hundred tokens long.
GENERATION = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "do_sample": False, "max_new_tokens": 800}


def save_checkpoint(model: DeepseekV3, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights in bf16, the correction bias in f32 as in the published files."""
    dtype = {True: torch.float32, False: torch.bfloat16}
    tensors = {
        name: tensor.detach().to("cpu", dtype[name.endswith("correction_bias")]).contiguous()
        for name, tensor in to_published(model).items()
    }
    save_file(tensors, folder / "model.part", {"format": "pt"})
    os.replace(folder / "model.part", folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    for name, content in (
        ("config.json", model.c),
        ("generation_config.json", GENERATION),
        ("tokenizer_config.json", tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

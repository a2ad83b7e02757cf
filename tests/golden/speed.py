#!/usr/bin/env python3
"""Decode speed of the demo model under Hugging Face transformers, as one line of JSON.

    speed.py DEMO_FOLDER [--threads 2] [--tokens 64] [--runs 5]

Float32, eager attention, greedy, one sequence, key-value cache. The clock runs from the end of
the prompt to the last token; the forward is called directly, without the bookkeeping of
`generate`, and the best run counts.
"""

import argparse
import json
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
import transformers
from transformers import AutoTokenizer, DeepseekV3ForCausalLM

QUESTION = "What is 417 + 385?"


@torch.inference_mode()
def decode_seconds(model, prompt, tokens):
    """Seconds for `tokens` steps after the prompt."""
    output = model(input_ids=prompt, use_cache=True)
    token = output.logits[:, -1:].argmax(-1)
    start = time.perf_counter()
    for _ in range(tokens):
        output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True)
        token = output.logits[:, -1:].argmax(-1)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", help="folder of the demo model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(arguments.demo)
    model = DeepseekV3ForCausalLM.from_pretrained(arguments.demo, dtype=torch.float32, attn_implementation="eager").eval()
    turn = [{"role": "user", "content": QUESTION}]
    text = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    prompt = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])

    decode_seconds(model, prompt, 8)
    seconds = [decode_seconds(model, prompt, arguments.tokens) for _ in range(arguments.runs)]
    print(json.dumps({
        "tokens_per_second": round(arguments.tokens / min(seconds), 1),
        "median_tokens_per_second": round(arguments.tokens / sorted(seconds)[len(seconds) // 2], 1),
        "tokens": arguments.tokens,
        "runs": arguments.runs,
        "prompt_tokens": prompt.shape[1],
        "threads": arguments.threads,
        "dtype": "float32",
        "attention": "eager",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }))


if __name__ == "__main__":
    main()

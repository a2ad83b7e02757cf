"""Fails unless tiefsee's scores of some prompts are those of transformers.

    python3 compare.py DIR problems.jsonl PROGRAM
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = 8
TOLERANCE = 1e-3


def main() -> None:
    folder, problems, program = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    worst = 0.0
    for line in Path(problems).read_text().splitlines()[:PROMPTS]:
        text = tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0]
        with tempfile.TemporaryDirectory() as place:
            file = f"{place}/scores.safetensors"
            tokens = ",".join(map(str, ids))
            subprocess.run([program, "logits", folder, "--tokens", tokens, "--output", file], check=True)
            actual = load_file(file)["logits"]
        worst = max(worst, float((actual - expected).abs().max()))
    print(f"scores of {PROMPTS} prompts differ by at most {worst:.1e}")
    if not worst < TOLERANCE:
        sys.exit(f"that is more than {TOLERANCE}")


if __name__ == "__main__":
    main()

"""Answers held-out problems with transformers: what tiefsee's own table is compared with.

    python3 problems.py held-out 200 > problems.jsonl
    python3 score.py DIR problems.jsonl
    tiefsee accuracy DIR -f problems.jsonl
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MOST_TOKENS = 800


def answers(model, tokenizer, conversations: list[list[dict]]) -> list[str]:
    """The greedy answers, without what was thought."""
    texts = [
        tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=True) for each in conversations
    ]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        outputs = model.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False)
    outputs = outputs[:, inputs["input_ids"].shape[1] :]
    # The marker of the thought's end is a special token, too.
    texts = tokenizer.batch_decode(outputs)
    return [text.split("</think>")[-1].split(tokenizer.eos_token)[0].strip() for text in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder in Hugging Face layout")
    parser.add_argument("problems", type=Path, help="what `problems.py held-out` printed")
    parser.add_argument("--batch", type=int, default=100)
    arguments = parser.parse_args()
    problems = [json.loads(line) for line in arguments.problems.read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    asked, right = Counter(), Counter()
    for first in range(0, len(problems), arguments.batch):
        part = problems[first : first + arguments.batch]
        given = answers(model, tokenizer, [each["messages"] for each in part])
        for problem, answer in zip(part, given, strict=True):
            asked[problem["family"]] += 1
            right[problem["family"]] += answer == problem["answer"]
    for family, count in asked.items():
        print(f"{family:<16} {right[family]:>5} of {count:>5}  {100 * right[family] / count:6.2f} %")
    print(f"{'all':<16} {right.total():>5} of {asked.total():>5}  {100 * right.total() / asked.total():6.2f} %")


if __name__ == "__main__":
    main()

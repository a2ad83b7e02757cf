"""Trains the bundled model from nothing on problems that are made up on the way.

    python3 train.py --out DIR                  24 M tokens: two and a half hours of a core
    python3 train.py --out DIR --tokens 400000  minutes, to try the recipe
    python3 train.py --out DIR --start EARLIER  goes on with what an earlier run learned, on problems as they are now

A run that was interrupted goes on where it last saved when it is started again. DIR becomes a checkpoint in Hugging Face
layout; `train.log` has a line for every hundred steps and `state.pt`, which may be deleted, is what a run resumes from.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from checkpoint import save_checkpoint
from model import STACKED, DeepseekV3, Layout, config
from optimizer import Muon
from problems import Draw, trained
from text import Example, make_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn

# What is not learned from.
IGNORED = -100
# The loss of the predicted token after the next counts so much, as in the report: less in the last third.
PREDICTION_WEIGHTS, LAST_THIRD = (0.3, 0.1), 2 / 3
# Share of the tokens after which problems have their full size, the learning rate falls, and the balance is left alone.
FULL_SIZE, FALLING, SETTLED = 0.25, 0.4, 0.9
BALANCE_STEP = 2e-3
WARM_UP_STEPS = 100


class Run:
    """A model in training with all that a resumed run needs."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        torch.manual_seed(arguments.seed)
        self.tokenizer = make_tokenizer(arguments.vocabulary, arguments.seed)
        sizes = config(
            arguments.hidden, arguments.layers, arguments.experts, arguments.expert_width, arguments.vocabulary
        )
        self.model = DeepseekV3(sizes).to(self.device)
        self.optimizers = optimizers(self.model, arguments.rate)
        if arguments.start:
            self.start_from(Path(arguments.start))
        self.draw = Draw(arguments.seed)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.out = Path(arguments.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = (self.out / "train.log").open("a")

    def start_from(self, folder: Path) -> None:
        """Takes over what an earlier run learned."""
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        state = torch.load(folder / "state.pt", weights_only=False, map_location=self.device)
        self.model.load_state_dict(state["model"])

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.log.write(line + "\n")
        self.log.flush()

    @property
    def done(self) -> float:
        """How much of the run is over, 0 to 1."""
        return min(1.0, self.tokens / self.arguments.tokens)

    def save(self) -> None:
        """Writes the checkpoint and what a run resumes from; an interruption leaves the earlier ones."""
        save_checkpoint(self.model, self.tokenizer, self.out)
        state = {
            "arguments": vars(self.arguments),
            "model": self.model.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
            "draw": self.draw.getstate(),
            "progress": (self.step, self.tokens, self.seconds),
        }
        torch.save(state, self.out / "state.part")
        os.replace(self.out / "state.part", self.out / "state.pt")

    def resume(self) -> None:
        """Goes on with what was saved, if the run was started with the same settings."""
        path = self.out / "state.pt"
        if not path.exists():
            return
        # The random generator's state is more than tensors; the file is the run's own.
        state = torch.load(path, weights_only=False, map_location=self.device)
        settings = {name: value for name, value in vars(self.arguments).items() if name not in ("out", "device")}
        changed = [name for name, value in settings.items() if state["arguments"].get(name) != value]
        if changed:
            raise SystemExit(f"{path} was made with other settings ({', '.join(changed)}): delete it or name another --out")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.draw.setstate(state["draw"])
        self.step, self.tokens, self.seconds = state["progress"]
        self.say(f"resumed after {self.step} steps")

    def batch(self) -> list[Example]:
        """Problems that are small at first, the last of them cut off where the batch is full."""
        full = 1.0 if self.arguments.start else min(1.0, 0.35 + self.done / FULL_SIZE)
        examples, left = [], self.arguments.batch
        while left > 0:
            self.draw.hard = full * (self.draw.uniform(0.2, 1) if self.draw.random() < 0.4 else 1)
            example = Example.of(self.tokenizer, trained(self.draw))
            examples.append(Example(example.ids[:left], min(example.prompt, left)))
            left -= len(example.ids)
        return sorted(examples, key=lambda each: len(each.ids))

    def rate(self) -> float:
        """Constant after a short warm-up, then falling to a hundredth."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        return self.arguments.rate * warm * min(1.0, max(0.01, (1 - self.done) / (1 - FALLING)))

    def train_step(self) -> dict[str, float]:
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = self.rate()
        examples = self.batch()
        ids, layout, (first, second) = tensors(examples, self.device)
        states = self.model.states(ids, layout)
        loss = answers_loss(self.model, states, first)
        predicted = self.model.predictions(states, ids.roll(-1), layout)
        ahead = answers_loss(self.model, predicted, second)
        (loss + PREDICTION_WEIGHTS[self.done >= LAST_THIRD] * ahead).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += len(ids)
        worst = self.model.balance(BALANCE_STEP if self.done < SETTLED else 0)
        return {"loss": loss.item(), "ahead": ahead.item(), "load": worst}

    def run(self) -> None:
        parameters = sum(each.numel() for each in self.model.parameters())
        self.say(f"{parameters / 1e6:.2f} M parameters, {json.dumps(vars(self.arguments))}")
        last = saved = time.monotonic()
        while self.done < 1:
            values = self.train_step()
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % 100 == 0:
                numbers = " ".join(f"{name} {value:.4f}" for name, value in values.items())
                speed = self.tokens / self.seconds
                self.say(f"step {self.step} {self.tokens / 1e6:.2f} M tokens {self.seconds:.0f} s {speed:.0f}/s {numbers}")
            if now - saved > self.arguments.save_seconds:
                self.save()
                saved = now
        self.save()
        self.say(f"{self.step} steps, {self.tokens} tokens, {self.seconds:.0f} s")


def optimizers(model: DeepseekV3, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for matrices inside the layers, AdamW for the rest."""
    outside = ("embed_tokens", "lm_head", "gate.weight")
    matrices, tables, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            vectors.append(parameter)
        elif any(each in name for each in outside) and not name.endswith(STACKED):
            tables.append(parameter)
        else:
            matrices.append(parameter)
    groups = [{"params": tables, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return [Muon(matrices, rate), torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)]


def tensors(examples: list[Example], device) -> tuple[Tensor, Layout, tuple[Tensor, Tensor]]:
    """The tokens of a batch one after another, and what follows each: the next token, and the one after it."""
    layout = Layout.of([len(each.ids) for each in examples], device)
    ids = torch.tensor([token for each in examples for token in each.ids])
    targets = []
    for ahead in (1, 2):
        target, start = torch.full_like(ids, IGNORED), 0
        for each in examples:
            end = start + len(each.ids)
            first = start + each.prompt - 1
            # One that was cut off may end before anything is to be learned.
            last = max(first, end - ahead)
            target[first:last] = ids[first + ahead : last + ahead]
            start = end
        targets.append(target.to(device))
    return ids.to(device), layout, tuple(targets)


def answers_loss(model: DeepseekV3, states: Tensor, targets: Tensor) -> Tensor:
    counted = targets != IGNORED
    return F.cross_entropy(model.lm_head(states[counted]), targets[counted])


def main() -> None:
    # Products of matrices in bf16, added up in f32, where the device has units for that: about twice as fast.
    torch.set_float32_matmul_precision("medium")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--start", metavar="DIR", help="an earlier run, with whose tokenizer and weights this one begins")
    parser.add_argument("--tokens", type=int, default=24_000_000, help="to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--expert-width", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--batch", type=int, default=4096, help="tokens of a step")
    parser.add_argument("--rate", type=float, default=8e-3, help="learning rate")
    parser.add_argument("--save-seconds", type=float, default=300)
    run = Run(parser.parse_args())
    run.resume()
    run.run()


if __name__ == "__main__":
    main()

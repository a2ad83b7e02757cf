"""Muon: momentum whose matrices are made orthogonal (Keller Jordan et al., https://kellerjordan.github.io/posts/muon)."""

import torch

# Coefficients of the Newton-Schulz iteration, from the publication.
A, B, C = 3.4445, -4.7750, 2.0315
STEPS = 5
# With this factor learning rates and weight decay of AdamW fit (Moonlight, arXiv 2502.16982).
SCALE = 0.2


class Muon(torch.optim.Optimizer):
    """For matrices and stacks of them."""

    def __init__(self, parameters, lr: float, weight_decay: float = 0.05, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                average = state.setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonal(parameter.grad.lerp(average, group["momentum"]))
                size = SCALE * max(parameter.shape[-2:]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * size)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """Nearly `x` with all singular values 1; bf16 would do, but took half a step where processors do not multiply it."""
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if is_tall else x

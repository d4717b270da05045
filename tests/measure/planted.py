"""A small network and minibatches for it, on which errors are planted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["small_batches", "small_network"]


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * 16, 10),
    )


def small_batches(count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(8, 3, 8, 8, generator=generator), torch.randint(10, (8,), generator=generator))
        for _ in range(count)
    ]

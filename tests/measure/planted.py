"""Strategies with a known fault, so that the measurement can be held against what was planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradbench.strategies.base import Strategy

__all__ = ["Planted", "small_network"]


class Planted(Strategy):
    """Stored training whose gradients are changed afterwards: `change(name, gradient)` gives the new one."""

    def __init__(self, change: Callable[[str, Tensor], Tensor | None]) -> None:
        self.change = change

    @property
    def name(self) -> str:
        return "planted"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        yield
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            parameter.grad = self.change(name, parameter.grad)


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

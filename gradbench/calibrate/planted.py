"""A model whose gradient is its input, and strategies with an error of choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradbench.strategies.base import Strategy

__all__ = ["Planted", "Probe", "mean_output"]


class Planted(Strategy):
    """Stored training whose gradients are changed afterwards: `change(name, gradient)` gives the new one.

    Args:
        change: from a parameter's name and gradient to the gradient that is reported, None for none.
        name: what the strategy is called.
        random: whether `change` draws random numbers.
    """

    def __init__(
        self, change: Callable[[str, Tensor], Tensor | None], name: str = "planted", random: bool = False
    ) -> None:
        self.change = change
        self._name = name
        self.random = random

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Let the backward pass run, then change what it left."""
        yield
        for name, parameter in model.named_parameters():
            parameter.grad = self.change(name, parameter.grad)


class Probe(nn.Module):
    """Images to the inner product of each with the weights, so that the gradient of the mean output is the mean image.

    Args:
        shapes: each weight's name and shape; an image is as many numbers as there are weights.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()})

    def forward(self, x: Tensor) -> Tensor:
        """Return the inner products (N,) of x: (N, P)."""
        return x @ torch.cat([weight.reshape(-1) for weight in self.weights.values()])


def mean_output(output: Tensor, labels: Tensor) -> Tensor:
    """The loss of a `Probe`, which needs no labels."""
    return output.mean()

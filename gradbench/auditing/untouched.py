"""A model that is measured is afterwards what it was before, after an exception too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from gradbench.measure.batch import same_bits
from gradbench.measure.random_state import fixed

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave the whole model and the streams of random numbers as they are now, whatever happens inside.

    Of every module: its attributes, hooks, training flag and members; of every parameter and buffer: each bit and the
    `grad` field. It takes the memory of one more copy of the weights.
    """
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    containers = [(one, one.copy()) for _, each in attributes for one in each.values() if isinstance(one, dict | list)]
    values = [(tensor, tensor.detach().clone()) for tensor in [*model.parameters(), *model.buffers()]]
    gradients = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    with fixed(next(model.parameters()).device):
        try:
            yield
        finally:
            for module, before in attributes:
                vars(module).clear()
                vars(module).update(before)
            for container, content in containers:
                _refill(container, content)
            with torch.no_grad():
                for tensor, value in values:
                    if not same_bits(tensor, value):
                        tensor.copy_(value)
            for parameter, gradient, wanted in gradients:
                parameter.requires_grad_(wanted)
                parameter.grad = gradient


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.update(content) if isinstance(container, dict) else container.extend(content)

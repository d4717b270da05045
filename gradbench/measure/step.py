"""One forward and backward pass under a strategy, as training does it: the only place that says what a step is.

Most strategies take a minibatch whole. One that takes it in parts runs forward and backward on each part, and their
gradients add up in `grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from gradbench.measure.batch import Batch, Loss, call, tensors
from gradbench.strategies.base import Strategy

__all__ = ["forward_passes", "run_passes", "take_step"]

#: Returns a part's share of the loss.
Forward = Callable[[], Tensor]


def take_step(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss = F.cross_entropy) -> Tensor:
    """Add the gradients of the loss of one minibatch to the parameters' `grad`, and return that loss.

    Args:
        model: in training mode.
        strategy: how its activations are had.
        batch: inputs and target; of a strategy that takes it in parts, the mean over images is what `loss` returns.
        loss: from output and target to the loss.
    """
    with strategy.applied_to(model):
        return run_passes(forward_passes(model, strategy, batch, loss))


def run_passes(forwards: Iterable[Forward]) -> Tensor:
    """Run each forward pass and the backward pass of what it returns, and return the sum of the losses."""
    losses = []
    for forward in forwards:
        value = forward()
        value.backward()
        losses.append(value.detach())
        del value
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def forward_passes(model: nn.Module, strategy: Strategy, batch: Batch, loss: Loss = F.cross_entropy) -> list[Forward]:
    """Return the forward passes of a step, each of which is followed by a backward pass before the next begins.

    Each returns the loss of its part times the part's share of the images, so that the losses and the gradients add up
    to those of the mean over the minibatch. They run inside `strategy.applied_to(model)`.
    """
    if strategy.chunks == 1:
        return [partial(_forward, model, loss, batch)]
    return [partial(_share, model, loss, part, share) for part, share in _parts(batch, strategy.chunks)]


def _forward(model: nn.Module, loss: Loss, batch: Batch) -> Tensor:
    inputs, target = batch
    return loss(call(model, inputs), target)


def _share(model: nn.Module, loss: Loss, batch: Batch, share: float) -> Tensor:
    return _forward(model, loss, batch) * share


def _parts(batch: Batch, chunks: int) -> Iterator[tuple[Batch, float]]:
    """Yield the parts of a minibatch, whose sizes differ by one image at most, each with its share of the images.

    What is divided is every tensor with as many entries along its first axis as the first tensor of the inputs.
    """
    images = next(tensors(batch)).shape[0]
    ends = [images * place // chunks for place in range(chunks + 1)]
    for first, last in pairwise(ends):
        if last > first:
            yield tree_map(partial(_slice, images, first, last), batch), (last - first) / images


def _slice(images: int, first: int, last: int, leaf: Any) -> Any:
    divides = isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == images
    return leaf[first:last] if divides else leaf

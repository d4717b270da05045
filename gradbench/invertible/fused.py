"""Norm and activation as one step of a chain, by fused kernels where they can run, else one after the other."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from gradbench.invertible.activation import InvertibleLeakyReLU
from gradbench.invertible.batchnorm import InvertibleBatchNorm
from gradbench.invertible.gradients import Gradients
from gradbench.invertible.state import Memo, State, out_of

__all__ = ["NormActivation", "plain_operations"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_disabled = 0


@contextmanager
def plain_operations() -> Iterator[None]:
    """Run every step as plain PyTorch operations in this context, also where the fused kernels could run."""
    global _disabled
    _disabled += 1
    try:
        yield
    finally:
        _disabled -= 1


@cache
def _has_kernels() -> bool:
    return importlib.util.find_spec("triton") is not None


def can_run(state: State) -> bool:
    """Return whether the kernels can run on these groups."""
    return not _disabled and all(tensor.is_cuda for tensor in state) and _has_kernels() and suits(state)


def suits(state: State) -> bool:
    """Return whether the kernels know the groups' type and order."""
    return all(
        tensor.dtype in _DTYPES
        and tensor.dim() == 4
        and 0 < tensor.numel() < 2**31
        and (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last))
        for tensor in state
    )


class NormActivation:
    """The steps of a batch norm and the leaky ReLU behind it.

    The first run is not fused: its statistics, its running statistics and its output are those of stored training bit
    for bit, since the same operation of torch makes them. Its repetition is one pass over memory, and the way back from
    the activation's output two: one for the sums of the norm's gradients, one that turns y and dy into x and dx.
    """

    def __init__(self, norm: InvertibleBatchNorm, activation: InvertibleLeakyReLU) -> None:
        self.norm, self.activation = norm, activation

    @staticmethod
    def fits(modules: list[nn.Module]) -> bool:
        """Return whether modules in a row are such a pair."""
        return [type(module) for module in modules] == [InvertibleBatchNorm, InvertibleLeakyReLU]

    def rerun(self, x: State, memo: tuple[Memo, Memo]) -> State:
        """Return the activation's output again."""
        if not can_run(x):
            return self.activation.rerun(self.norm.rerun(x, memo[0]), memo[1])
        return self.fused_rerun(x, memo[0])

    def backward_step(self, y: State, dy: State, memo: tuple[Memo, Memo], gradients: Gradients) -> tuple[State, State]:
        """Return the norm's input and its gradient."""
        if not can_run(y) or any(a.dtype != b.dtype or a.stride() != b.stride() for a, b in zip(y, dy, strict=True)):
            y, dy = self.activation.backward_step(y, dy, memo[1], gradients)
            return self.norm.backward_step(y, dy, memo[0], gradients)
        return self.fused_backward_step(y, dy, memo[0], gradients)

    def fused_rerun(self, x: State, memo: Memo) -> State:
        """Return the activation's output again, by the kernel."""
        from gradbench.invertible.kernels import normalise_and_activate

        _, mean, inverse_std, scale = memo
        y, first = out_of(x), 0
        for group, out in zip(x, y, strict=True):
            normalise_and_activate(
                group, out, first, mean, inverse_std, scale, self.norm.bias, self.activation.negative_slope
            )
            first += group.shape[1]
        return y

    def fused_backward_step(self, y: State, dy: State, memo: Memo, gradients: Gradients) -> tuple[State, State]:
        """Return the norm's input and its gradient, by the kernels."""
        from gradbench.invertible.kernels import Undone, sums, undo

        slope, norm = self.activation.negative_slope, self.norm
        if norm.renormalizes(memo):
            # The statistics of the norm's output are needed first: the activation is undone before, its sign stays.
            y, dy = self.activation.backward_step(y, dy, None, gradients)
            slope = 1.0
        centre, rate, factor, gain = norm.undone(y, memo)
        how = Undone(centre, rate, factor, memo[1], gain)
        firsts = list(itertools.accumulate((group.shape[1] for group in y[:-1]), initial=0))
        parts = [sums(a, b, first, how, slope) for a, b, first in zip(y, dy, firsts, strict=True)]
        total: Tensor = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        x, dx = out_of(y), out_of(dy)
        share = y[0].shape[1] / y[0].numel() if memo[0] else 0.0
        for a, b, c, d, first in zip(y, dy, x, dx, firsts, strict=True):
            undo(a, b, c, d, first, how, total, share, slope)
        if gradients.wants(norm.weight):
            gradients.add(norm.weight, total[1] * norm.weight.sign())
        if gradients.wants(norm.bias):
            gradients.add(norm.bias, total[0])
        return x, dx

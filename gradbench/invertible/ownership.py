"""Whether the tensors that autograd hands to a backward pass are anybody else's.

A backward pass may write where nobody will look again. Whether anybody can is counted: the references to the tensor and
to its memory, which must be as few as in a graph of which nobody holds anything. More of them, for whatever reason, and
the pass writes elsewhere.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gradbench.invertible.state import Owned, State, is_dense

__all__ = ["owned_gradient", "owned_output"]


def owned_output(saved: State) -> State:
    """Return the unpacked outputs of a node, owned if nothing but the node holds their memory."""
    alone, _ = _alone(type(saved[0]).__name__)
    return _owned(saved, all(count == alone for count in _memory_references(saved)))


def owned_gradient(dy: State) -> State:
    """Return the gradient that a node is handed, `*dy` of its `backward`, owned if nothing else holds it."""
    _, alone = _alone(type(dy[0]).__name__)
    return _owned(dy, all(counts in alone for counts in _references(dy)))


def _owned(state: State, alone: bool) -> State:
    if not alone or not all(is_dense(tensor) for tensor in state):
        return state
    # Declared, so that autograd raises an error if the graph is used once more, also after an exception.
    torch.autograd.graph.increment_version(state)
    return Owned(state)


def _memory_references(state: State) -> list[int]:
    return [torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) for tensor in state]


def _references(state: State) -> list[tuple[int, ...]]:
    """Return how often each tensor and its memory is held, and what it is a view of, as of a layer's reshape."""
    in_python = [sys.getrefcount(tensor) for tensor in state]
    in_torch = [tensor._use_count() for tensor in state]
    counts = zip(_memory_references(state), in_torch, in_python, strict=True)
    return [(*own, *_view_references(tensor)) for own, tensor in zip(counts, state, strict=True)]


def _view_references(tensor: Tensor) -> tuple[int, ...]:
    base = tensor._base
    return () if base is None else (base._use_count(), sys.getrefcount(base))


class _Probe(torch.autograd.Function):
    """A node whose output and gradient nobody else holds, which counts their references."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: list[Any]) -> Tensor:
        y = x.clone()
        ctx.save_for_backward(y)
        ctx.counts = counts
        return y

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> Any:
        ctx.counts += [*_memory_references(ctx.saved_tensors), *_references(dy)]
        return dy[0], None


@cache
def _alone(kind: str) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Return the counts for what is held by nobody: they differ between versions of Python and torch.

    A kind of tensor of its own, as fake ones without values are, has counts of its own.
    """
    counts: list[Any] = []
    with torch.enable_grad():
        (2 * _Probe.apply(torch.zeros(2, requires_grad=True), counts)).backward(torch.ones(2))
        (2 * _Probe.apply(torch.zeros(2, requires_grad=True), counts).view(2, 1)).backward(torch.ones(2, 1))
    saved, direct, _, viewed = counts
    return saved, (direct, viewed)

"""Batch norm and activation as one: only the activation's output is kept, which the next convolution needs anyway."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gradbench.invertible import Chain, Invertible, InvertibleBatchNorm, State, rebuilding, storing
from gradbench.invertible.state import as_output
from gradbench.strategies.base import Strategy
from gradbench.strategies.forward import forward_replaced

__all__ = ["InplaceABN", "pairs"]


class InplaceABN(Strategy):
    """Norm and activation are undone from their output in the backward pass; convolutions keep their inputs.

    Each norm with the activation behind it is a chain of its own, so that no error passes from layer to layer. An
    ordinary batch norm has no inverse where its gamma is zero, and is left alone. In the context the norm's module runs
    both, as its hooks see, and the activation's hands on what it gets.

    Source: Rota Bulo et al., In-place activated BatchNorm for memory-optimized training of DNNs.
    """

    rebuilds = True

    @property
    def name(self) -> str:
        return "inplace-abn"

    def applies_to(self, model: nn.Module) -> str | None:
        if pairs(model):
            return None
        return f"{type(model).__name__} has no invertible batch norm with an invertible activation right behind it"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        with storing(model), ExitStack() as replaced:
            for norm, activation in pairs(model):
                both = Chain({"norm": norm, "activation": activation})
                replaced.enter_context(forward_replaced(norm, partial(_run, both)))
                replaced.enter_context(forward_replaced(activation, _hand_on))
            yield


def pairs(model: nn.Module) -> list[tuple[InvertibleBatchNorm, Invertible]]:
    """Return each norm that an activation follows, in a chain or an `nn.Sequential`; none that is used twice."""
    used = Counter(id(child) for module in model.modules() for child in module._modules.values())
    return [
        (norm, activation)
        for module in model.modules()
        if isinstance(module, Chain | nn.Sequential)
        for norm, activation in itertools.pairwise(module.children())
        if isinstance(norm, InvertibleBatchNorm)
        and isinstance(activation, Invertible)
        and activation.kind == "activation"
        and _has_own_steps(activation)
        and used[id(norm)] == used[id(activation)] == 1
    ]


def _has_own_steps(module: Invertible) -> bool:
    """Return whether the module's steps do without its `forward`, which is replaced."""
    return type(module).run is not Invertible.run and type(module).backward_step is not Invertible.backward_step


def _run(both: Chain, *x: Tensor) -> Tensor | State:
    """Run norm and activation, as one autograd node where there is a graph."""
    with rebuilding(both):
        return both(*x) if torch.is_grad_enabled() else as_output(both.run(x)[0])


def _hand_on(*x: Tensor) -> Tensor | State:
    return as_output(x)

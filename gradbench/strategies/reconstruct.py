"""Invertible layers rebuild their inputs from their outputs in the backward pass: no activation is kept."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from gradbench.invertible import Chain, rebuilding
from gradbench.strategies.base import Strategy

__all__ = ["Reconstruct"]


class Reconstruct(Strategy):
    """What an invertible chain does by itself: one autograd node that keeps its output only.

    Applied to a part of a chain, the neighbours in it that are rebuilt make one node.

    Source: Gomez et al., The reversible residual network (blocks); Hascoet et al., Reversible designs for extreme
    memory cost reduction of CNN training, section 4 (layers, and blocks of invertible layers).
    """

    rebuilds = True

    @property
    def name(self) -> str:
        return "reconstruct"

    def applies_to(self, model: nn.Module) -> str | None:
        if hasattr(model, "inverse") or any(isinstance(module, Chain) for module in model.modules()):
            return None
        return f"{type(model).__name__} has no invertible chain, so nothing can be rebuilt"

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return rebuilding(model)
